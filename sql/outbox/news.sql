-- What stands behind tick $2 of epoch $1, whose snapshot is $3: the next recorded tick, whether anything was committed that no
-- recorded tick holds, and the epoch that counts now.
SELECT (SELECT id FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1) AS "epoch?",
       next.n AS "tick?",
       next.snapshot::text AS "snapshot?",
       next.n IS NULL AND EXISTS (
           SELECT FROM curia_realtime.outbox
           WHERE xid >= pg_snapshot_xmax($3::text::pg_snapshot)
              OR xid = ANY (ARRAY(SELECT pg_snapshot_xip($3::text::pg_snapshot)))
       ) AS "news!",
       pg_is_in_recovery() AS "standby!"
FROM (VALUES (1)) AS one
LEFT JOIN LATERAL (
    SELECT n, snapshot FROM curia_realtime.tick WHERE epoch = $1 AND n > $2 ORDER BY n LIMIT 1
) AS next ON true
