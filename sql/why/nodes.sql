-- Nodes that listen in this database. Of another role's sessions the name is shown only to those who may read all statistics.
SELECT count(*) AS "nodes!"
FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'curia-realtime listener'
