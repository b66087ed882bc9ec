-- The rows of batch.sql, all of them, to be fetched page by page; the pages before row $3 were fetched earlier.
DECLARE pages NO SCROLL CURSOR FOR
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
SELECT seq, at, kind, board_id, post_id, row_id, data::text AS data
FROM news
WHERE pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
ORDER BY max(seq) OVER (PARTITION BY xid), seq
OFFSET $3
