UPDATE posts
SET upvote_count = GREATEST(0, upvote_count - 1)
WHERE id = $1
RETURNING upvote_count AS "upvote_count!";
