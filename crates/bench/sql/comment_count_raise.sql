UPDATE posts SET comment_count = comment_count + 1 WHERE id = $1 RETURNING comment_count
