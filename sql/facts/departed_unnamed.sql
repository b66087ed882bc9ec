-- Whether users may have been deleted within $1 seconds whom no row of the outbox names: their table was emptied or not captured for a time, the
-- row is broken, or an epoch has begun behind another, before which something is lost.
SELECT EXISTS (
    SELECT FROM curia_realtime.outbox
    WHERE kind = 'reset' AND coalesce(data ->> 'table', '') IN ('', 'users')
       OR kind = 'user_deleted' AND jsonb_typeof(data -> 'user_id') IS DISTINCT FROM 'string'
) OR EXISTS (
    SELECT FROM curia_realtime.epoch AS newer
    WHERE newer.started_at > clock_timestamp() - make_interval(secs => $1)
      AND EXISTS (SELECT FROM curia_realtime.epoch AS older WHERE older.started_at < newer.started_at)
) AS "unnamed!"
