SELECT id, board_id FROM posts WHERE id = $1
