UPDATE boards SET settings = jsonb_build_object('permissions', jsonb_build_object('allowedRoles', $2::text::jsonb)) WHERE id = $1
