-- Whether anything was committed since the snapshot of the last tick.
SELECT EXISTS (
    SELECT FROM curia_realtime.outbox
    WHERE xid >= pg_snapshot_xmax($1::text::pg_snapshot)
       OR xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot)))
) AS "news!"
