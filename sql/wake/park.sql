-- While it is held, every writer finds it taken and notifies. Not to be had while a writer that found it free is at work.
SELECT pg_try_advisory_lock(1129665097, 1)
