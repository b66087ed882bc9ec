-- Whoever holds a lock on one of these tables that ours has to wait for: writers stand in the way of CREATE TRIGGER,
-- readers ($2) in that of DROP TRIGGER as well. The longest transaction first.
SELECT n.nspname || '.' || c.relname AS "table!",
       l.pid AS "pid!",
       a.usename::text AS "user?",
       COALESCE(a.state, a.backend_type) AS "state?",
       extract(epoch FROM clock_timestamp() - a.xact_start)::bigint AS "seconds?"
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
  AND l.granted
  AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND n.nspname || '.' || c.relname = ANY ($1::text[])
  AND ($2 OR l.mode NOT IN ('AccessShareLock', 'RowShareLock'))
ORDER BY a.xact_start NULLS LAST, l.pid, 1
LIMIT 3
