-- A new epoch with its tick 0, where the newest is still $1, or there is none and $1 is NULL: under the lock, whoever comes second
-- begins none. Reading begins anew here; what was committed before is told to nobody.
-- It is the newest whatever clock the others were begun by.
WITH newest AS (
    SELECT id, started_at FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1
), begun AS (
    INSERT INTO curia_realtime.epoch (started_at, reason)
    SELECT greatest(clock_timestamp(), (SELECT started_at + interval '1 microsecond' FROM newest)), $2
    WHERE (SELECT id FROM newest) IS NOT DISTINCT FROM $1::bigint
    RETURNING id
)
INSERT INTO curia_realtime.tick (epoch, n, snapshot)
SELECT id, 0, pg_current_snapshot() FROM begun
