-- What autovacuum does to tables that grew.
VACUUM (ANALYZE) votes, comments, curia_realtime.outbox
