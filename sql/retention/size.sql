-- What the live rows take, by the numbers drawn between oldest and newest and the width of the newest. The relation's own size
-- would not do: it holds on to the space of rows that were cut, to be filled again.
-- A row of a transaction that was open for long lies far from all others. So where that is more than $1 bytes, rows are counted, as many as
-- these have room for.
SELECT coalesce(least(drawn.rows * width.bytes, CASE WHEN drawn.rows * width.bytes > $1::bigint THEN (
           SELECT CASE WHEN count(*) <= $1::bigint / width.bytes THEN count(*) * width.bytes END
           FROM (SELECT FROM curia_realtime.outbox ORDER BY xid, seq LIMIT floor($1::bigint / width.bytes)::bigint + 1) AS first
       ) END), 0)::bigint AS "bytes!"
FROM (
    SELECT (SELECT seq FROM curia_realtime.outbox ORDER BY xid DESC, seq DESC LIMIT 1)
         - (SELECT seq FROM curia_realtime.outbox ORDER BY xid, seq LIMIT 1) + 1 AS rows
) AS drawn
CROSS JOIN (
    SELECT avg(pg_column_size(newest.*)) + 50 AS bytes
    FROM (SELECT * FROM curia_realtime.outbox ORDER BY xid DESC, seq DESC LIMIT 1000) AS newest
) AS width
