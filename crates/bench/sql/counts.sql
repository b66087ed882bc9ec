-- The counts of every post of board $1.
SELECT id, upvote_count::bigint AS upvotes, comment_count::bigint AS comments
FROM posts
WHERE board_id = $1
