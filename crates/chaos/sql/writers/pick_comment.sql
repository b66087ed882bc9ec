SELECT c.id, p.board_id FROM comments AS c JOIN posts AS p ON p.id = c.post_id ORDER BY c.id DESC OFFSET $1 LIMIT 1
