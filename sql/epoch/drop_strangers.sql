-- At most $1 rows that can be seen although their transaction is, by its number, still to come or still at work here: a restore brought
-- them from where transactions were numbered otherwise. No row that was written here is ever among them.
DELETE FROM curia_realtime.outbox
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM curia_realtime.outbox
    WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())
      AND NOT pg_visible_in_snapshot(xid, pg_current_snapshot())
    ORDER BY xid, seq
    LIMIT $1
))
