-- Boards of the beginning stay.
SELECT id FROM boards WHERE id > 10 ORDER BY id OFFSET $1 LIMIT 1
