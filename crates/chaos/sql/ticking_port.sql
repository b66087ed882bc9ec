-- From which port the session connected that holds the lease on making ticks.
SELECT a.client_port
FROM pg_locks AS l
JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'advisory' AND l.classid = 1129665097 AND l.objid = 2 AND l.mode = 'ExclusiveLock' AND l.granted
