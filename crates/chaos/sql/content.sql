-- Two communities, ten boards, some of them closed to some or lent to the other community, and a post or more in each.
INSERT INTO communities (id, name, settings) VALUES ('a', 'A', '{}'), ('b', 'B', '{}');

INSERT INTO boards (id, community_id, name, settings) VALUES
    (1, 'a', 'open', '{}'),
    (2, 'a', 'for r1', '{"permissions": {"allowedRoles": ["r1"]}}'),
    (3, 'a', 'for r2', '{"permissions": {"allowedRoles": ["r2"]}}'),
    (4, 'a', 'also open', '{}'),
    (5, 'a', 'lent', '{}'),
    (6, 'b', 'open', '{}'),
    (7, 'b', 'for r1', '{"permissions": {"allowedRoles": ["r1"]}}'),
    (8, 'b', 'for r2 or r3', '{"permissions": {"allowedRoles": ["r2", "r3"]}}'),
    (9, 'b', 'lent', '{}'),
    (10, 'a', 'with a door', '{"permissions": {"allowedRoles": ["nobody"]}}');
SELECT setval(pg_get_serial_sequence('boards', 'id'), 10);

INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id) VALUES
    (5, 'a', 'b', 'w1'),
    (9, 'b', 'a', 'w1');

INSERT INTO users (user_id, name)
SELECT 'w' || n, 'Writer ' || n
FROM generate_series(1, 200) AS n;

INSERT INTO posts (author_user_id, title, content, board_id)
SELECT 'w' || n, 'post ' || n, 'first', 1 + n % 9
FROM generate_series(0, 26) AS n
WHERE n > 0;
