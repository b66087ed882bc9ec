-- One for each board and each post of the beginning, behind everything else.
INSERT INTO posts (author_user_id, title, content, board_id)
SELECT 'w1', 'marker of board ' || id, 'the end', id FROM boards ORDER BY id;
INSERT INTO comments (post_id, author_user_id, content)
SELECT id, 'w1', 'marker of post ' || id FROM posts WHERE id <= 26 ORDER BY id;
UPDATE posts SET comment_count = comment_count + 1 WHERE id <= 26;
