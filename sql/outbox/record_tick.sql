INSERT INTO curia_realtime.tick (epoch, n, snapshot, at) VALUES ($1, $2, $3::text::pg_snapshot, $4)
ON CONFLICT DO NOTHING
