INSERT INTO boards (community_id, name, settings)
VALUES ($1, $2, jsonb_build_object('permissions', jsonb_build_object('allowedRoles', $3::text::jsonb)))
