-- The last tick of the current epoch: where reading goes on.
SELECT e.id AS "epoch!", t.n AS "tick!", t.snapshot::text AS "snapshot!", pg_is_in_recovery() AS "standby!"
FROM (SELECT id FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1) AS e
CROSS JOIN LATERAL (
    SELECT n, snapshot FROM curia_realtime.tick WHERE epoch = e.id ORDER BY n DESC LIMIT 1
) AS t
