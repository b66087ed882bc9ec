-- What the contract calls a batch: only where it lets rights that were closed and opened again within one count as never closed.
SELECT snapshot::text AS snapshot FROM curia_realtime.tick ORDER BY at
