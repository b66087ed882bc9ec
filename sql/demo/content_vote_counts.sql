UPDATE posts p
SET upvote_count = (SELECT COUNT(*) FROM votes v WHERE v.post_id = p.id);
