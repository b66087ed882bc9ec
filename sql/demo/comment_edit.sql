UPDATE comments
SET content    = $2,
    updated_at = NOW()
WHERE id = $1;
