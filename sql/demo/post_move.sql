UPDATE posts
SET board_id   = $1,
    updated_at = NOW()
WHERE id = $2;
