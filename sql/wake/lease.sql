-- One session in the whole database makes ticks; the lock goes with the session.
SELECT pg_try_advisory_lock(1129665097, 2)
