-- What the live rows take, by the numbers drawn between oldest and newest and the width of the newest. The relation's own size
-- would not do: it holds on to the space of rows that were cut, to be filled again.
SELECT coalesce(ends.rows * (width.bytes + 50), 0)::bigint AS "bytes!"
FROM (
    SELECT (SELECT seq FROM curia_realtime.outbox ORDER BY xid DESC, seq DESC LIMIT 1)
         - (SELECT seq FROM curia_realtime.outbox ORDER BY xid, seq LIMIT 1) + 1 AS rows
) AS ends
CROSS JOIN (
    SELECT avg(pg_column_size(newest.*)) AS bytes
    FROM (SELECT * FROM curia_realtime.outbox ORDER BY xid DESC, seq DESC LIMIT 1000) AS newest
) AS width
