-- Communities of which each has one board.
WITH town AS (
    INSERT INTO communities (id, name)
    SELECT 'town ' || n, 'Town ' || n FROM generate_series(1, $1::integer) AS n
    RETURNING id
)
INSERT INTO boards (id, community_id, name)
SELECT 100000 + row_number() OVER (), id, 'Square' FROM town
RETURNING community_id, id
