-- The rows of ticks $2 + 1 to $3 of epoch $1, each with its place: tick by tick what batch.sql reads.
SELECT t.n AS "tick!", r.ordinal AS "ordinal!",
       r.seq AS "seq!", r.at AS "at!", r.kind AS "kind!", r.board_id, r.post_id, r.row_id, r.data::text AS data
FROM (
    SELECT n, snapshot, lag(snapshot) OVER (ORDER BY n) AS before
    FROM curia_realtime.tick
    WHERE epoch = $1 AND n BETWEEN $2 AND $3
) AS t
CROSS JOIN LATERAL (
    SELECT *, row_number() OVER (ORDER BY last, seq) AS ordinal
    FROM (
        SELECT *, max(seq) OVER (PARTITION BY xid) AS last
        FROM (
            SELECT seq, xid, at, kind, board_id, post_id, row_id, data
            FROM curia_realtime.outbox
            WHERE xid >= pg_snapshot_xmax(t.before) AND xid < pg_snapshot_xmax(t.snapshot)
            UNION ALL
            SELECT late.*
            FROM pg_snapshot_xip(t.before) AS running (xid)
            CROSS JOIN LATERAL (
                SELECT seq, xid, at, kind, board_id, post_id, row_id, data
                FROM curia_realtime.outbox
                WHERE outbox.xid = running.xid
                OFFSET 0
            ) AS late
        ) AS news
        WHERE pg_visible_in_snapshot(xid, t.snapshot)
    ) AS whole
) AS r
WHERE t.before IS NOT NULL
ORDER BY t.n, r.ordinal
