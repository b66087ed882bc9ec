DELETE FROM votes WHERE user_id = $1 AND post_id = $2;
