-- The oldest $3 of the rows that tick $2 of epoch $1 or one before it holds. Where the epoch is not at home its snapshots mean nothing. Nor is
-- any cut while an older tick stands: another is about to cut that one, and until then somebody may read behind it.
-- The horizon is asked for once, and what is left to each row is guessed to leave many: else all rows below it are sorted for each slice.
WITH standing AS MATERIALIZED (
    SELECT EXISTS (
        SELECT
        FROM curia_realtime.epoch
        CROSS JOIN LATERAL (
            SELECT
            FROM curia_realtime.tick
            WHERE tick.epoch = epoch.id AND n < CASE WHEN epoch.id = $1 THEN $2 ELSE 9223372036854775807 END
            ORDER BY n
            LIMIT 1
        ) AS older
        WHERE epoch.id = $1 OR started_at < (SELECT started_at FROM curia_realtime.epoch WHERE id = $1)
    ) AS ticks
), horizon AS MATERIALIZED (
    SELECT tick.snapshot
    FROM curia_realtime.tick
    JOIN curia_realtime.epoch ON epoch.id = tick.epoch
    WHERE tick.epoch = $1 AND tick.n = $2 AND epoch.home = curia_realtime.home() AND NOT (SELECT ticks FROM standing)
), cut AS (
    DELETE FROM curia_realtime.outbox
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM curia_realtime.outbox
        WHERE xid < (SELECT pg_snapshot_xmax(snapshot) FROM horizon)
          AND pg_visible_in_snapshot(xid, (SELECT snapshot FROM horizon))
        ORDER BY xid, seq
        LIMIT $3
    ))
    RETURNING seq
)
SELECT (SELECT count(*) FROM cut) AS "rows!", (SELECT ticks FROM standing) AS "standing!"
