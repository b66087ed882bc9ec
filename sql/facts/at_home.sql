-- Whether the newest epoch began here: not on a standby, and not in what was restored or promoted until an epoch begins in it.
SELECT coalesce(
    (SELECT home FROM curia_realtime.epoch ORDER BY started_at DESC, id DESC LIMIT 1) = curia_realtime.home(), false
) AS "at_home!"
