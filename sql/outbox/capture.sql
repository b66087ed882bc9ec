-- Which of the triggers $2, each of the table $1 of the forum, do not note what is written, and whether the tables that are read by keys have
-- them. The mark is another once one of these was made anew or switched, also where it stands as before by now: either writes its row of the
-- catalogue again. Only the catalogue is read, and nothing locked; 'O' and 'A' fire for what the forum writes.
WITH found AS (
    SELECT expected.relation, expected.name, t.oid, t.tgenabled::text AS enabled, t.xmin::text AS written
    FROM unnest($1::text[], $2::text[]) AS expected (relation, name)
    LEFT JOIN (
        pg_catalog.pg_trigger AS t
        JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'public'
    ) ON c.relname = expected.relation AND t.tgname = expected.name AND NOT t.tgisinternal
), keys AS (
    SELECT k.oid
    FROM pg_catalog.pg_constraint AS k
    JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE k.contype = 'p' AND n.nspname = 'curia_realtime' AND c.relname IN ('outbox', 'tick')
)
SELECT ARRAY(SELECT name || ' of public.' || relation FROM found WHERE oid IS NULL ORDER BY relation, name) AS "missing!",
       ARRAY(
           SELECT name || ' of public.' || relation FROM found WHERE enabled NOT IN ('O', 'A') ORDER BY relation, name
       ) AS "off!",
       (SELECT count(*) FROM keys) = 2 AS "keyed!",
       concat_ws(' ',
           (SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM keys),
           (SELECT string_agg(concat_ws('/', oid, enabled, written), ' ' ORDER BY relation, name) FROM found)
       ) AS "mark!"
