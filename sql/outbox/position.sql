-- The last tick of the newest epoch: where reading goes on, unless "broken" says why it can't. Tick $2 of epoch $1, whose snapshot is
-- $3, is the last that whoever asks has told, where he has told any.
SELECT newest.id AS "epoch?", last.n AS "tick?", last.snapshot::text AS "snapshot?", newest.reason AS "reason?",
       CASE
           WHEN last.n IS NULL THEN 'no position was left in the tables of curia_realtime'
           WHEN split_part(newest.home, '/', 1) <> split_part(here.home, '/', 1)
               THEN 'another server than before: a dump was restored, or pg_upgrade has run'
           WHEN split_part(newest.home, '/', 2) <> split_part(here.home, '/', 2)
               THEN 'another database than before: a dump was restored, or a database was copied'
           WHEN split_part(newest.home, '/', 3) <> split_part(here.home, '/', 3)
               THEN 'the tables were made anew: a dump was restored into the same database'
           WHEN newest.home <> here.home
               THEN 'another timeline than before: a standby was promoted, or the server was recovered to an earlier time'
           WHEN newest.id = $1 AND (
               last.n < $2 OR EXISTS (SELECT FROM curia_realtime.tick WHERE epoch = $1 AND n = $2 AND snapshot::text <> $3))
               THEN 'ticks are gone that had been told: the server lost its last commits, or an older copy of its disk was put back'
       END AS "broken?",
       pg_is_in_recovery() AS "standby!"
FROM (SELECT curia_realtime.home() AS home) AS here
LEFT JOIN LATERAL (
    SELECT id, home, reason FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT n, snapshot FROM curia_realtime.tick WHERE epoch = newest.id ORDER BY n DESC LIMIT 1
) AS last ON true
