-- Whether our schema stands and what of it and of the forum's tables may not be read by whoever asks. Needs no right itself.
SELECT EXISTS (
           SELECT FROM pg_catalog.pg_class AS c
           JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
           WHERE n.nspname = 'curia_realtime' AND c.relname = 'migration'
       ) AS "installed!",
       ARRAY(
           SELECT n.nspname || '.' || c.relname
           FROM pg_catalog.pg_class AS c
           JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
           WHERE n.nspname || '.' || c.relname = ANY ($1::text[])
             AND c.relkind IN ('r', 'p')
             AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'))
           ORDER BY 1
       ) AS "unreadable!",
       ARRAY(
           SELECT name
           FROM unnest($1::text[]) AS name
           WHERE name LIKE 'public.%' AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_class AS c
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname || '.' || c.relname = name AND c.relkind IN ('r', 'p')
           )
       ) AS "absent!",
       quote_ident(current_user) AS "user!"
