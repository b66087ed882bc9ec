-- One change of rights at a time.
SELECT pg_advisory_xact_lock(7000, 0)
