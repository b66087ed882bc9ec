-- One at a time begins an epoch. What is asked next sees what the one before did.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = '5s';
SELECT pg_advisory_xact_lock(1129665097, 4);
