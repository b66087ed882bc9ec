-- Who holds the lease on making ticks, as far as our role is shown.
SELECT l.pid AS "pid!", host(a.client_addr) AS "address?", a.backend_start AS "since?"
FROM pg_catalog.pg_locks AS l
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory'
  AND l.granted
  AND (l.classid, l.objid, l.objsubid) = (1129665097, 2, 2)
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
LIMIT 1
