-- Whether what was just read came from where the newest epoch began (not a standby, and not what was restored or promoted until an epoch
-- begins in it), and whether rights are as tick $2 of epoch $1 left them: this is the newest epoch, and nothing was committed behind the
-- tick that may concern them. $3 are the kinds that never do. With more than $4 rows behind it nobody knows. The ranges are written as in
-- outbox/batch.sql.
WITH newest AS (
    SELECT id, home FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1
)
SELECT coalesce((SELECT home = curia_realtime.home() FROM newest), false) AS "at_home!",
       coalesce((
           SELECT NOT EXISTS (
                      SELECT FROM pg_snapshot_xip(t.snapshot) AS running (xid)
                      CROSS JOIN LATERAL (
                          SELECT kind FROM curia_realtime.outbox WHERE outbox.xid = running.xid OFFSET 0
                      ) AS late
                      WHERE late.kind <> ALL ($3::text[])
                  )
                  AND (
                      SELECT count(*) < $4 AND coalesce(bool_and(kind = ANY ($3::text[])), true)
                      FROM (
                          SELECT kind FROM curia_realtime.outbox
                          WHERE xid >= pg_snapshot_xmax(t.snapshot) ORDER BY xid LIMIT $4
                      ) AS news
                  )
           FROM curia_realtime.tick AS t
           JOIN newest ON newest.id = t.epoch
           WHERE t.epoch = $1 AND t.n = $2
       ), false) AS "settled!"
