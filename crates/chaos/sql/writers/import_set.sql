-- As the forum: an upsert, undone by is_active.
INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id, is_active)
SELECT id, community_id, CASE community_id WHEN 'a' THEN 'b' ELSE 'a' END, 'w1', $2 FROM boards WHERE id = $1
ON CONFLICT (importing_community_id, source_board_id) DO UPDATE SET is_active = EXCLUDED.is_active
