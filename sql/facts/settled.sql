-- Whether rights are as tick $2 of epoch $1 left them: nothing was committed behind it that may concern them. $3 are the kinds that never
-- do. With more than $4 rows behind it nobody knows. The ranges are written as in outbox/batch.sql.
SELECT NOT EXISTS (
           SELECT FROM pg_snapshot_xip(t.snapshot) AS running (xid)
           CROSS JOIN LATERAL (SELECT kind FROM curia_realtime.outbox WHERE outbox.xid = running.xid OFFSET 0) AS late
           WHERE late.kind <> ALL ($3::text[])
       )
       AND (
           SELECT count(*) < $4 AND coalesce(bool_and(kind = ANY ($3::text[])), true)
           FROM (
               SELECT kind FROM curia_realtime.outbox WHERE xid >= pg_snapshot_xmax(t.snapshot) ORDER BY xid LIMIT $4
           ) AS news
       ) AS "settled!"
FROM curia_realtime.tick AS t
WHERE t.epoch = $1 AND t.n = $2
