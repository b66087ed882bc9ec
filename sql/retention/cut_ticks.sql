-- Some $3 of the ticks before tick $2 of epoch $1, and of those of earlier epochs.
DELETE FROM curia_realtime.tick
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM curia_realtime.tick WHERE (epoch = $1 AND n < $2) OR epoch <> $1 LIMIT $3
))
