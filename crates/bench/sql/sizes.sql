-- How many people and posts there are to draw from.
SELECT (SELECT count(*) FROM users) AS users,
       (SELECT count(*) FROM posts) AS posts
