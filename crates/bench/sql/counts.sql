-- The counts of every post.
SELECT id, upvote_count::bigint AS upvotes, comment_count::bigint AS comments
FROM posts
