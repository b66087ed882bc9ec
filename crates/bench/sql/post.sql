INSERT INTO posts (author_user_id, title, content, tags, board_id) VALUES ($1, $2, $3, $4, $5) RETURNING id
