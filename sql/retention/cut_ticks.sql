-- Some $3 of the ticks before tick $2 of epoch $1, and of those of earlier epochs. A later one may have begun meanwhile. Of each epoch the
-- oldest: where one is kept, so is everything behind it.
DELETE FROM curia_realtime.tick
WHERE ctid = ANY (ARRAY(
    SELECT oldest.ctid
    FROM curia_realtime.epoch
    CROSS JOIN LATERAL (
        SELECT tick.ctid
        FROM curia_realtime.tick
        WHERE tick.epoch = epoch.id AND n < CASE WHEN epoch.id = $1 THEN $2 ELSE 9223372036854775807 END
        ORDER BY n
        LIMIT $3
    ) AS oldest
    WHERE epoch.id = $1 OR started_at < (SELECT started_at FROM curia_realtime.epoch WHERE id = $1)
    LIMIT $3
))
