SELECT pg_current_snapshot()::text AS "snapshot!", clock_timestamp() AS "at!"
