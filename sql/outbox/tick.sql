-- The first rows of what this transaction's snapshot sees and $1 did not, read and ordered as in batch.sql. Of them a tick is made:
-- the first row brings that snapshot, and the time.
WITH upto AS MATERIALIZED (
    SELECT pg_current_snapshot() AS snapshot
), news AS (
    SELECT seq, xid, at, kind, board_id, post_id, row_id, data
    FROM curia_realtime.outbox
    WHERE xid >= pg_snapshot_xmax($1::text::pg_snapshot) AND xid < pg_snapshot_xmax((SELECT snapshot FROM upto))
    UNION ALL
    SELECT late.*
    FROM pg_snapshot_xip($1::text::pg_snapshot) AS running (xid)
    CROSS JOIN LATERAL (
        SELECT seq, xid, at, kind, board_id, post_id, row_id, data
        FROM curia_realtime.outbox
        WHERE outbox.xid = running.xid
        OFFSET 0
    ) AS late
), page AS (
    SELECT *, max(seq) OVER (PARTITION BY xid) AS last
    FROM news
    WHERE pg_visible_in_snapshot(xid, (SELECT snapshot FROM upto))
    ORDER BY last, seq
    LIMIT $2
), placed AS (
    SELECT *, row_number() OVER (ORDER BY last, seq) AS place
    FROM page
)
SELECT CASE WHEN place = 1 THEN (SELECT snapshot::text FROM upto) END AS "snapshot?",
       CASE WHEN place = 1 THEN clock_timestamp() END AS "ticked_at?",
       seq AS "seq!", at AS "at!", kind AS "kind!", board_id, post_id, row_id, data::text AS data
FROM placed
ORDER BY place
