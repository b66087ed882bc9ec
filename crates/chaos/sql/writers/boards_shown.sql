SELECT id FROM boards WHERE community_id = $1
UNION
SELECT source_board_id FROM imported_boards WHERE importing_community_id = $1
ORDER BY 1
