-- The first rows of what snapshot $2 sees and $1 did not: transactions whole, in the order of their last row.
-- Who changed a row after another transaction drew a higher seq after that one's commit, so order holds for each row.
-- Both ends of the range are named, and what was running is looked up one by one (OFFSET 0 keeps it so), for the plan's sake: the
-- statement is prepared, and its generic plan would else read the whole outbox.
WITH news AS (
    SELECT seq, xid, at, kind, board_id, post_id, row_id, data
    FROM curia_realtime.outbox
    WHERE xid >= pg_snapshot_xmax($1::text::pg_snapshot) AND xid < pg_snapshot_xmax($2::text::pg_snapshot)
    UNION ALL
    SELECT late.*
    FROM pg_snapshot_xip($1::text::pg_snapshot) AS running (xid)
    CROSS JOIN LATERAL (
        SELECT seq, xid, at, kind, board_id, post_id, row_id, data
        FROM curia_realtime.outbox
        WHERE outbox.xid = running.xid
        OFFSET 0
    ) AS late
)
SELECT seq AS "seq!", at AS "at!", kind AS "kind!", board_id, post_id, row_id, data::text AS data
FROM news
WHERE pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
ORDER BY max(seq) OVER (PARTITION BY xid), seq
LIMIT $3
