-- What happens in a board while its readers are away: each a transaction of its own.
INSERT INTO posts (author_user_id, title, content, board_id) VALUES ($1, 'News', 'A question.', $2)
