-- The oldest open transactions of this database, prepared ones among them. Of other roles' sessions the time is shown only to
-- who may read all statistics.
SELECT pid AS "pid?", gid AS "gid?", role AS "role?", state AS "state?", since AS "since?",
       extract(epoch FROM clock_timestamp() - since)::float8 AS "seconds?", writes AS "writes!"
FROM (
    SELECT pid, NULL AS gid, quote_ident(usename) AS role, state, xact_start AS since, backend_xid IS NOT NULL AS writes
    FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database()
      AND pid <> pg_backend_pid()
      AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL OR xact_start IS NOT NULL)
      AND coalesce(backend_type, 'client backend') = 'client backend'
    UNION ALL
    SELECT NULL, quote_literal(gid), quote_ident(owner), 'prepared', prepared, true
    FROM pg_catalog.pg_prepared_xacts
    WHERE database = current_database()
) AS open
ORDER BY since NULLS LAST
LIMIT 100
