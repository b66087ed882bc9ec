-- How far the service has read: ticks made, rows written, rows that no tick holds yet.
WITH last AS (
    SELECT snapshot FROM curia_realtime.tick ORDER BY n DESC LIMIT 1
)
SELECT (SELECT max(n) FROM curia_realtime.tick) AS ticks,
       (SELECT count(*) FROM curia_realtime.outbox) AS written,
       (SELECT count(*)
        FROM curia_realtime.outbox, last
        WHERE NOT pg_visible_in_snapshot(outbox.xid, last.snapshot)) AS unread
