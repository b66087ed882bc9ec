-- The oldest $3 of the rows that tick $2 of epoch $1 or one before it holds.
DELETE FROM curia_realtime.outbox
WHERE ctid = ANY (ARRAY(
    SELECT o.ctid
    FROM curia_realtime.tick AS t
    JOIN curia_realtime.outbox AS o
      ON o.xid < pg_snapshot_xmax(t.snapshot) AND pg_visible_in_snapshot(o.xid, t.snapshot)
    WHERE t.epoch = $1 AND t.n = $2
    ORDER BY o.xid, o.seq
    LIMIT $3
))
