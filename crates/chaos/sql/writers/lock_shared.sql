-- Held to the end of the transaction: no change of rights on the board commits meanwhile.
SELECT pg_advisory_xact_lock_shared(7001, $1)
