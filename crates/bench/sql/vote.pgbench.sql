-- A vote as the forum gives it. Every pair of a user and a post is drawn once: pair is a different number for each
-- client, transaction and round, and permute scatters it, by a fixed seed so that rounds fit together.
\set given :given + 1
\set pair permute(:first + :clients * :given + :client_id, :users * :posts, 1)
\set voter 1 + :pair / :posts
\set post 1 + :pair % :posts
BEGIN;
INSERT INTO votes (user_id, post_id) VALUES (:voter, :post);
UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = :post RETURNING upvote_count;
COMMIT;
