SELECT pg_advisory_unlock(1129665097, 1)
