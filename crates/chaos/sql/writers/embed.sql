-- What the embedding worker does; nobody's event.
UPDATE posts SET embedding = ARRAY[0.5], updated_at = NOW() WHERE id = $1
