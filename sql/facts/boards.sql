-- What the access rule asks of boards: of these, of those that these communities own, and of those they import.
SELECT b.id,
       b.community_id,
       b.settings -> 'permissions' AS "permissions?",
       COALESCE(jsonb_typeof(b.settings) NOT IN ('object', 'null'), false) AS "malformed!",
       ARRAY(
           SELECT i.importing_community_id
           FROM imported_boards AS i
           WHERE i.source_board_id = b.id AND i.is_active
       ) AS "importers!"
FROM boards AS b
WHERE b.id = ANY ($1::int[])
   OR b.community_id = ANY ($2::text[])
   OR b.id IN (
       SELECT i.source_board_id
       FROM imported_boards AS i
       WHERE i.importing_community_id = ANY ($2::text[]) AND i.is_active
   )
