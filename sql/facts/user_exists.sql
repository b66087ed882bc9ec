SELECT EXISTS (SELECT FROM users WHERE user_id = $1) AS "exists!"
