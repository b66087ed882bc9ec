-- The oldest $3 of the rows that tick $2 of epoch $1 or one before it holds. Where the epoch is not at home its snapshots mean nothing.
DELETE FROM curia_realtime.outbox
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM curia_realtime.outbox
    WHERE xid < (SELECT pg_snapshot_xmax(snapshot) FROM curia_realtime.tick WHERE epoch = $1 AND n = $2)
      AND pg_visible_in_snapshot(
              xid, (SELECT snapshot FROM curia_realtime.tick WHERE epoch = $1 AND n = $2))
      AND (SELECT home FROM curia_realtime.epoch WHERE id = $1) = curia_realtime.home()
    ORDER BY xid, seq
    LIMIT $3
))
