-- The first rows of what snapshot $2 sees and $1 did not: transactions whole, in the order of their last row.
-- Who changed a row after another transaction drew a higher seq after that one's commit, so order holds for each row.
WITH news AS (
    SELECT seq, xid, at, kind, board_id, post_id, row_id, data
    FROM curia_realtime.outbox
    WHERE (xid >= pg_snapshot_xmax($1::text::pg_snapshot)
       OR xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::text::pg_snapshot))))
      AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
)
SELECT seq, at, kind, board_id, post_id, row_id, data::text AS data
FROM news
ORDER BY max(seq) OVER (PARTITION BY xid), seq
LIMIT $3
