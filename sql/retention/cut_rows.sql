-- The oldest $3 of the rows that tick $2 of epoch $1 or one before it holds.
DELETE FROM curia_realtime.outbox
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM curia_realtime.outbox
    WHERE xid < (SELECT pg_snapshot_xmax(snapshot) FROM curia_realtime.tick WHERE epoch = $1 AND n = $2)
      AND pg_visible_in_snapshot(
              xid, (SELECT snapshot FROM curia_realtime.tick WHERE epoch = $1 AND n = $2))
    ORDER BY xid, seq
    LIMIT $3
))
