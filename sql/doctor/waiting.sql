-- How long ago tick $2 of epoch $1 was made, and what was committed that it does not hold, counted up to $3 rows: how much, and
-- since when the oldest of it waits.
SELECT extract(epoch FROM clock_timestamp() - t.at)::float8 AS "seconds!",
       waiting.rows AS "rows!",
       extract(epoch FROM clock_timestamp() - waiting.oldest)::float8 AS "oldest?"
FROM curia_realtime.tick AS t
CROSS JOIN LATERAL (
    SELECT count(*) AS rows, min(at) AS oldest
    FROM (
        SELECT at
        FROM curia_realtime.outbox
        WHERE xid >= pg_snapshot_xmin(t.snapshot) AND NOT pg_visible_in_snapshot(xid, t.snapshot)
        LIMIT $3
    ) AS counted
) AS waiting
WHERE t.epoch = $1 AND t.n = $2
