-- The newest tick of the current epoch that is older than $1 seconds. It stays, as the one that what follows is read from.
-- Found from the old end, where few are older: there are many ticks, in order of their time.
SELECT e.id AS "epoch!",
       coalesce(
           (SELECT n - 1 FROM curia_realtime.tick
            WHERE epoch = e.id AND at >= clock_timestamp() - make_interval(secs => $1)
            ORDER BY n LIMIT 1),
           (SELECT max(n) FROM curia_realtime.tick WHERE epoch = e.id)
       ) AS "tick!"
FROM (SELECT id FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1) AS e
