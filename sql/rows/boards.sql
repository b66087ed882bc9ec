SELECT id,
       community_id AS "community_id!",
       name        AS "name?",
       description AS "description?",
       settings    AS "settings?",
       created_at  AS "created_at?",
       updated_at  AS "updated_at?"
FROM boards
WHERE id = ANY ($1::int[]) AND community_id IS NOT NULL
