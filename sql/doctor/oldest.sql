-- The age of the oldest row of the outbox.
SELECT (
    SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM curia_realtime.outbox ORDER BY xid, seq LIMIT 1
) AS "seconds?"
