-- Where somebody reads along behind tick $2 of epoch $1, where that is kept and the epoch is the newest.
SELECT t.snapshot::text AS "snapshot!"
FROM curia_realtime.tick AS t
WHERE t.epoch = $1 AND t.n = $2
  AND $1 = (SELECT id FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1)
