-- The oldest $3 of the rows that tick $2 of epoch $1 or one before it holds. Where the epoch is not at home its snapshots mean nothing.
-- The horizon is asked for once, and what is left to each row is guessed to leave many: else all rows below it are sorted for each slice.
WITH horizon AS MATERIALIZED (
    SELECT tick.snapshot
    FROM curia_realtime.tick
    JOIN curia_realtime.epoch ON epoch.id = tick.epoch
    WHERE tick.epoch = $1 AND tick.n = $2 AND epoch.home = curia_realtime.home()
)
DELETE FROM curia_realtime.outbox
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM curia_realtime.outbox
    WHERE xid < (SELECT pg_snapshot_xmax(snapshot) FROM horizon)
      AND pg_visible_in_snapshot(xid, (SELECT snapshot FROM horizon))
    ORDER BY xid, seq
    LIMIT $3
))
