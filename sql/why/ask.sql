SELECT pg_notify('curia_realtime_why', $1)
