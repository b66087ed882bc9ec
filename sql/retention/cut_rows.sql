-- The oldest $3 of the rows whose transactions had all ended at tick $2 of epoch $1, and which it or a tick before it holds.
DELETE FROM curia_realtime.outbox
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM curia_realtime.outbox
    WHERE xid < (SELECT pg_snapshot_xmin(snapshot) FROM curia_realtime.tick WHERE epoch = $1 AND n = $2)
    ORDER BY xid, seq
    LIMIT $3
))
