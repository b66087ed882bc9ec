SELECT pg_notify('curia_realtime_why_' || $1, $2)
