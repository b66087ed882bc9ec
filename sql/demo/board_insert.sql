INSERT INTO boards (community_id, name, description, settings)
VALUES ($1, $2, $3, $4)
RETURNING id;
