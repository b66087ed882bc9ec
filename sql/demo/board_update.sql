-- $4 is the new list of roles, or null to leave the permissions alone. What can't be read as settings is replaced.
UPDATE boards
SET name        = COALESCE($2, name),
    description = COALESCE($3, description),
    settings    = CASE
                      WHEN $4::jsonb IS NULL
                          THEN settings
                      WHEN jsonb_typeof(settings -> 'permissions') = 'object'
                          THEN jsonb_set(settings, '{permissions,allowedRoles}', $4::jsonb)
                      WHEN jsonb_typeof(settings) = 'object'
                          THEN settings || jsonb_build_object('permissions', jsonb_build_object('allowedRoles', $4::jsonb))
                      ELSE jsonb_build_object('permissions', jsonb_build_object('allowedRoles', $4::jsonb))
                  END,
    updated_at  = NOW()
WHERE id = $1;
