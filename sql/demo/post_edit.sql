UPDATE posts
SET title      = COALESCE($2, title),
    content    = COALESCE($3, content),
    updated_at = NOW()
WHERE id = $1;
