-- One post, with whether the reader has voted.
SELECT p.id,
       p.author_user_id      AS "author_user_id!",
       p.title,
       p.content             AS "content!",
       p.tags,
       p.upvote_count        AS "upvote_count!",
       p.comment_count       AS "comment_count!",
       p.board_id            AS "board_id!",
       p.lock_id,
       p.created_at          AS "created_at!",
       p.updated_at          AS "updated_at!",
       u.name                AS "author_name?",
       u.profile_picture_url AS author_picture,
       EXISTS (SELECT 1
               FROM votes v
               WHERE v.post_id = p.id
                 AND v.user_id = $2) AS "voted!"
FROM posts p
JOIN users u ON u.user_id = p.author_user_id
WHERE p.id = $1
  AND p.board_id IS NOT NULL;
