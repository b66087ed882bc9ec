-- Whether tick $2 of epoch $1 is kept: then so is everything behind it.
SELECT EXISTS (SELECT FROM curia_realtime.tick WHERE epoch = $1 AND n = $2) AS "kept!",
       pg_current_snapshot()::text AS "seen!"
