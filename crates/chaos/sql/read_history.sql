SELECT seq, xid::text::bigint AS xid, snapshot::text AS snapshot, (extract(epoch FROM at) * 1000000)::bigint AS at,
       what, board_id, post_id, row_id, data::text AS data
FROM chaos.history
ORDER BY seq
