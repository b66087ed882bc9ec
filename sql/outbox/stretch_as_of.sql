-- The newest tick of epoch $1, and whether rights may have changed behind it. $2 are the kinds that never concern rights.
SELECT t.n AS "tick!",
       EXISTS (
           SELECT FROM curia_realtime.outbox
           WHERE xid >= pg_snapshot_xmin(t.snapshot)
             AND NOT pg_visible_in_snapshot(xid, t.snapshot)
             AND kind <> ALL ($2::text[])
       ) AS "restless!"
FROM curia_realtime.tick AS t
WHERE t.epoch = $1
ORDER BY t.n DESC
LIMIT 1
