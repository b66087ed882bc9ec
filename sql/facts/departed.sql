-- The users whose deletion the outbox still holds, the latest first.
SELECT data ->> 'user_id' AS "user_id?"
FROM curia_realtime.outbox
WHERE kind = 'user_deleted'
ORDER BY xid DESC
LIMIT $1
