-- Replies go by cascade; the forum leaves posts.comment_count as it is.
DELETE FROM comments WHERE id = $1;
