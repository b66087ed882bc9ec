-- Of what this moment sees and snapshot $1 did not: every row that may concern rights, with its place in the tick whose
-- snapshot is $2, and without one where no tick holds it yet. $3 are the kinds that never concern rights.
-- The range is written as in batch.sql.
WITH news AS (
    SELECT seq, xid, at, kind, board_id, post_id, row_id, data
    FROM curia_realtime.outbox
    WHERE xid >= pg_snapshot_xmax($1::text::pg_snapshot) AND xid < pg_snapshot_xmax(pg_current_snapshot())
    UNION ALL
    SELECT late.*
    FROM pg_snapshot_xip($1::text::pg_snapshot) AS running (xid)
    CROSS JOIN LATERAL (
        SELECT seq, xid, at, kind, board_id, post_id, row_id, data
        FROM curia_realtime.outbox
        WHERE outbox.xid = running.xid
        OFFSET 0
    ) AS late
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY ticked ORDER BY last, seq) AS place
    FROM (
        SELECT *, pg_visible_in_snapshot(xid, $2::text::pg_snapshot) AS ticked, max(seq) OVER (PARTITION BY xid) AS last
        FROM news
    ) AS whole
)
SELECT CASE WHEN ticked THEN place END AS "ordinal?",
       seq AS "seq!", at AS "at!", kind AS "kind!", board_id, post_id, row_id, data::text AS data
FROM placed
WHERE kind <> ALL ($3::text[])
ORDER BY ticked DESC, place
LIMIT $4
