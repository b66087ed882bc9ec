-- A post behind everything else.
INSERT INTO posts (author_user_id, title, content, board_id)
VALUES ('1', 'The last', '', $1)
RETURNING id
