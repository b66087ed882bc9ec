-- The oldest open transactions of this database, prepared ones among them. Of other roles' sessions the time is shown only to
-- who may read all statistics. But of the oldest of those that have a number, the first tick that knows of later numbers tells before when
-- it began.
WITH sessions AS (
    SELECT pid, usename, state, xact_start, backend_xid,
           row_number() OVER (ORDER BY xact_start IS NOT NULL, age(backend_xid) DESC NULLS LAST) = 1 AS oldest
    FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database()
      AND pid <> pg_backend_pid()
      AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL OR xact_start IS NOT NULL)
      AND coalesce(backend_type, 'client backend') = 'client backend'
)
SELECT pid AS "pid?", gid AS "gid?", role AS "role?", state AS "state?", since AS "since?", at_latest AS "at_latest!",
       extract(epoch FROM clock_timestamp() - since)::float8 AS "seconds?", writes AS "writes!"
FROM (
    SELECT s.pid, NULL AS gid, quote_ident(s.usename) AS role, s.state, coalesce(s.xact_start, known.at) AS since,
           s.xact_start IS NULL AS at_latest, s.backend_xid IS NOT NULL AS writes
    FROM sessions AS s
    LEFT JOIN LATERAL (
        SELECT t.at
        FROM curia_realtime.tick AS t
        CROSS JOIN (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS number) AS next
        WHERE s.oldest AND s.xact_start IS NULL AND s.backend_xid IS NOT NULL
          AND t.epoch = (SELECT id FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1)
          AND pg_snapshot_xmax(t.snapshot)::text::bigint
              > next.number - (next.number % 4294967296 - s.backend_xid::text::bigint + 4294967296) % 4294967296
        ORDER BY t.n
        LIMIT 1
    ) AS known ON true
    UNION ALL
    SELECT NULL, quote_literal(gid), quote_ident(owner), NULL, prepared, false, true
    FROM pg_catalog.pg_prepared_xacts
    WHERE database = current_database()
) AS open
ORDER BY since NULLS LAST
LIMIT 100
