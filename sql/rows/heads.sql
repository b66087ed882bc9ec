SELECT id, board_id, upvote_count AS "upvote_count?", comment_count AS "comment_count?", author_user_id AS "author_user_id?"
FROM posts
WHERE id = ANY ($1::int[])
