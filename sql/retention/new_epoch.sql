-- Reading begins anew here; what was written before is told to nobody.
WITH begun AS (
    INSERT INTO curia_realtime.epoch (reason) VALUES ('the outbox was cut at its size limit') RETURNING id
)
INSERT INTO curia_realtime.tick (epoch, n, snapshot)
SELECT id, 0, pg_current_snapshot() FROM begun
