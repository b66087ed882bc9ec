-- Triggers $1 on tables $2, which may each be missing, as PostgreSQL would fire them.
SELECT wanted.name AS "name!", wanted.place AS "place!", t.tgenabled::text AS "enabled?"
FROM unnest($1::text[], $2::text[]) AS wanted (name, place)
LEFT JOIN pg_catalog.pg_trigger AS t ON t.tgname = wanted.name AND t.tgrelid = to_regclass(wanted.place)
ORDER BY wanted.place, wanted.name
