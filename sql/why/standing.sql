-- The epoch that counts now, and which of the ticks of epoch $1 are kept.
SELECT (SELECT id FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1) AS "newest?",
       EXISTS (SELECT FROM curia_realtime.epoch WHERE id = $1) AS "known!",
       (SELECT min(n) FROM curia_realtime.tick WHERE epoch = $1) AS "first?",
       (SELECT max(n) FROM curia_realtime.tick WHERE epoch = $1) AS "last?"
