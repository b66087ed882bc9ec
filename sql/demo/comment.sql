-- One comment.
SELECT c.id,
       c.post_id             AS "post_id!",
       c.author_user_id      AS "author_user_id!",
       c.parent_comment_id,
       c.content             AS "content!",
       c.created_at          AS "created_at!",
       c.updated_at          AS "updated_at!",
       u.name                AS "author_name?",
       u.profile_picture_url AS author_picture
FROM comments c
JOIN users u ON u.user_id = c.author_user_id
WHERE c.id = $1;
