-- Which of the posts $3 were moved behind tick $2 of epoch $1, and out of which board at first: there it stood at the end of the tick. Moves of
-- one post wait for each other, so they are numbered in their order.
SELECT DISTINCT ON (o.post_id) o.post_id AS "post!", o.data ->> 'from' AS "board?"
FROM curia_realtime.tick AS t
JOIN curia_realtime.outbox AS o
  ON o.xid >= pg_snapshot_xmin(t.snapshot) AND NOT pg_visible_in_snapshot(o.xid, t.snapshot)
WHERE t.epoch = $1 AND t.n = $2 AND o.kind = 'post_moved' AND o.post_id = ANY ($3::int[])
ORDER BY o.post_id, o.seq
