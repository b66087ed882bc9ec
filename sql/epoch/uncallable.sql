-- What of PostgreSQL's own functions `curia_realtime.home()` asks and the role in use may not call. Everybody may, unless somebody took it away.
SELECT ARRAY(
    SELECT name
    FROM unnest(ARRAY[
        'pg_control_system()', 'pg_current_wal_lsn()', 'pg_walfile_name(pg_lsn)', 'pg_relation_filepath(regclass)'
    ]) AS name
    WHERE NOT has_function_privilege('pg_catalog.' || name, 'EXECUTE')
) AS "functions!"
