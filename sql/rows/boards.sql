-- A time that RFC 3339 can't tell, infinity among them, is shown as none.
SELECT id,
       community_id,
       name        AS "name?",
       description AS "description?",
       settings    AS "settings?",
       CASE WHEN created_at BETWEEN '0001-01-01' AND '9999-12-31' THEN created_at END AS "created_at?",
       CASE WHEN updated_at BETWEEN '0001-01-01' AND '9999-12-31' THEN updated_at END AS "updated_at?"
FROM boards
WHERE id = ANY ($1::int[])
