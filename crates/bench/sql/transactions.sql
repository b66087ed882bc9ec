-- Transactions that ended in this database, also those that wrote nothing.
SELECT pg_stat_clear_snapshot(), (xact_commit + xact_rollback)::float8 AS transactions
FROM pg_stat_database
WHERE datname = current_database()
