-- A time that RFC 3339 can't tell, infinity among them, is shown as none.
SELECT c.id                AS "id!",
       c.post_id             AS "post_id!",
       c.author_user_id      AS "author_user_id?",
       c.parent_comment_id   AS "parent_comment_id?",
       left(c.content, $2)   AS "content?",
       CASE WHEN c.created_at BETWEEN '0001-01-01' AND '9999-12-31' THEN c.created_at END AS "created_at?",
       CASE WHEN c.updated_at BETWEEN '0001-01-01' AND '9999-12-31' THEN c.updated_at END AS "updated_at?",
       u.user_id             AS "user_id?",
       u.name                AS "user_name?",
       u.profile_picture_url AS "profile_picture_url?",
       parent.author_user_id AS "parent_author?"
FROM comments AS c
LEFT JOIN users AS u ON u.user_id = c.author_user_id
LEFT JOIN comments AS parent ON parent.id = c.parent_comment_id
WHERE c.id = ANY ($1::int[]) AND c.post_id IS NOT NULL
