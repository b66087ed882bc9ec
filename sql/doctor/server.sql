-- What the server is, and what it has left. Needs no right. Of sessions of other roles less is shown, but each has its line.
SELECT current_setting('server_version_num')::int AS "version!",
       current_setting('server_version') AS "named!",
       pg_is_in_recovery() AS "standby!",
       current_setting('default_transaction_read_only')::boolean AS "read_only!",
       quote_ident(current_user) AS "role!",
       clock_timestamp() AS "now!",
       current_setting('max_connections')::bigint
           - current_setting('superuser_reserved_connections')::bigint
           - coalesce(current_setting('reserved_connections', true)::bigint, 0) AS "places!",
       activity.taken AS "taken!",
       activity.ours AS "ours!"
FROM (
    SELECT count(*) AS taken, count(*) FILTER (WHERE application_name IN ('curia-realtime', 'curia-realtime listener')) AS ours
    FROM pg_catalog.pg_stat_activity
    WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend' AND pid <> pg_backend_pid()
) AS activity
