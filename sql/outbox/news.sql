-- What stands behind tick $2 of epoch $1, whose snapshot is $3: the next recorded tick, whether another follows it, whether anything was committed that no
-- recorded tick holds, the epoch that counts now, whether that is at home here, and whether the tick itself still stands.
-- Asked all the time, so each part is ordered: as a bare EXISTS its generic plan reads the whole outbox when there is no news.
SELECT newest.id AS "epoch?",
       newest.home = curia_realtime.home() AS "at_home?",
       EXISTS (SELECT FROM curia_realtime.tick WHERE epoch = $1 AND n = $2 AND snapshot::text = $3) AS "held!",
       next.n AS "tick?",
       next.snapshot::text AS "snapshot?",
       EXISTS (SELECT FROM curia_realtime.tick WHERE epoch = $1 AND n = $2 + 2) AS "more!",
       next.n IS NULL AND (
           coalesce((SELECT xid FROM curia_realtime.outbox ORDER BY xid DESC, seq DESC LIMIT 1)
                    >= pg_snapshot_xmax($3::text::pg_snapshot), false)
           OR EXISTS (
               SELECT FROM pg_snapshot_xip($3::text::pg_snapshot) AS running (xid)
               CROSS JOIN LATERAL (
                   SELECT FROM curia_realtime.outbox WHERE outbox.xid = running.xid ORDER BY seq LIMIT 1
               ) AS late
           )
       ) AS "news!",
       pg_is_in_recovery() AS "standby!"
FROM (VALUES (1)) AS one
LEFT JOIN LATERAL (
    SELECT id, home FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT n, snapshot FROM curia_realtime.tick WHERE epoch = $1 AND n > $2 ORDER BY n LIMIT 1
) AS next ON true
