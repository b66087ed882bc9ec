-- What was applied to this database, oldest first.
SELECT version, name, applied_at
FROM curia_realtime.migration
ORDER BY version
