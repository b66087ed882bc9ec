SELECT FROM posts WHERE id = $1 AND board_id = $2
