-- The community's own boards and those it has imported, closed ones included.
SELECT b.id,
       b.community_id  AS "community_id!",
       home.name       AS "community_name!",
       b.name,
       b.description,
       b.settings,
       reader.settings AS reader_community_settings,
       b.created_at    AS "created_at!",
       b.updated_at    AS "updated_at!"
FROM boards b
JOIN communities home ON home.id = b.community_id
JOIN communities reader ON reader.id = $1
WHERE b.community_id = $1
   OR EXISTS (SELECT 1
              FROM imported_boards i
              WHERE i.source_board_id = b.id
                AND i.importing_community_id = $1
                AND i.is_active)
ORDER BY b.community_id <> $1, b.id;
