-- Who else applies migrations to this database, by the lock that only one may hold.
SELECT pid AS "pid!"
FROM pg_catalog.pg_locks
WHERE locktype = 'advisory'
  AND granted
  AND (classid, objid, objsubid) = (1129665097, 3, 2)
  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
LIMIT 1
