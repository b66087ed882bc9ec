UPDATE boards
SET settings = CASE
    WHEN $2::text IS NULL THEN '{}'::jsonb
    ELSE jsonb_build_object('permissions', jsonb_build_object('allowedRoles', jsonb_build_array($2::text)))
END
WHERE id = $1
