-- A comment as the forum writes it.
\set author random(1, :users)
\set post random(1, :posts)
BEGIN;
INSERT INTO comments (post_id, author_user_id, parent_comment_id, content) VALUES (:post, :author, NULL, :content) RETURNING *;
UPDATE posts SET comment_count = comment_count + 1 WHERE id = :post;
COMMIT;
