-- Boards of the beginning stay.
SELECT id FROM boards WHERE id > 9 ORDER BY id OFFSET $1 LIMIT 1
