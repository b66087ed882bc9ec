-- Whether ticks $2 and $3 of epoch $1 are kept, and so everything between; how many rows lie there, counted up to $4.
SELECT (SELECT count(*) FROM curia_realtime.tick WHERE epoch = $1 AND n IN ($2, $3)) = 2 AS "kept!",
       (SELECT count(*)
        FROM (
            SELECT
            FROM curia_realtime.outbox
            WHERE xid >= (SELECT pg_snapshot_xmin(snapshot) FROM curia_realtime.tick WHERE epoch = $1 AND n = $2)
              AND xid < (SELECT pg_snapshot_xmax(snapshot) FROM curia_realtime.tick WHERE epoch = $1 AND n = $3)
            LIMIT $4
        ) AS counted) AS "rows!"
