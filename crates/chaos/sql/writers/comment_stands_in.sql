SELECT c.post_id FROM comments AS c JOIN posts AS p ON p.id = c.post_id WHERE c.id = $1 AND p.board_id = $2
