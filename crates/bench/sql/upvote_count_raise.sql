UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = $1 RETURNING upvote_count
