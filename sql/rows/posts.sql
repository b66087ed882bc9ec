-- A time that RFC 3339 can't tell, infinity among them, is shown as none.
SELECT p.id                AS "id!",
       p.author_user_id      AS "author_user_id?",
       p.title               AS "title?",
       left(p.content, $2)   AS "content?",
       p.tags                AS "tags?",
       p.upvote_count        AS "upvote_count?",
       p.comment_count       AS "comment_count?",
       p.board_id            AS "board_id?",
       p.lock_id             AS "lock_id?",
       CASE WHEN p.created_at BETWEEN '0001-01-01' AND '9999-12-31' THEN p.created_at END AS "created_at?",
       CASE WHEN p.updated_at BETWEEN '0001-01-01' AND '9999-12-31' THEN p.updated_at END AS "updated_at?",
       u.user_id             AS "user_id?",
       u.name                AS "user_name?",
       u.profile_picture_url AS "profile_picture_url?"
FROM posts AS p
LEFT JOIN users AS u ON u.user_id = p.author_user_id
WHERE p.id = ANY ($1::int[])
