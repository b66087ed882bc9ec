INSERT INTO comments (post_id, author_user_id, parent_comment_id, content) VALUES ($1, $2, NULL, $3) RETURNING *
