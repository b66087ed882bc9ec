SELECT user_id FROM votes WHERE post_id = $1 ORDER BY user_id OFFSET $2 LIMIT 1
