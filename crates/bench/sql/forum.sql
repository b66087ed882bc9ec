-- People and posts for a benchmark. Users are named by numbers, which is what pgbench can draw.
--
-- How the forum asks its embedding worker is its own affair. The fixture does it with a NOTIFY, which would slow every
-- variant down and make ours look cheaper than it is: taken out in all of them.

DROP TRIGGER request_embedding ON posts;
DROP TRIGGER request_embedding ON comments;

INSERT INTO communities (id, name, settings) VALUES ('bench', 'Bench', '{}');

INSERT INTO boards (id, community_id, name)
SELECT n, 'bench', 'Board ' || n
FROM generate_series(1, 10) AS n;

INSERT INTO users (user_id, name)
SELECT n::text, 'Person ' || n
FROM generate_series(1, 100000) AS n;

INSERT INTO posts (author_user_id, title, content, tags, board_id)
SELECT n::text, 'Post ' || n, repeat('What is said in post ' || n || '. ', 20), ARRAY['tide', 'kelp'], 1 + n % 10
FROM generate_series(1, 1000) AS n;
