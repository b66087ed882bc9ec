-- Some $3 of the ticks before tick $2 of epoch $1, and of those of earlier epochs. A later one may have begun meanwhile.
DELETE FROM curia_realtime.tick
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM curia_realtime.tick
    WHERE (epoch = $1 AND n < $2)
       OR epoch IN (
              SELECT id FROM curia_realtime.epoch
              WHERE started_at < (SELECT started_at FROM curia_realtime.epoch WHERE id = $1)
          )
    LIMIT $3
))
