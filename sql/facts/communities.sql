SELECT id, settings AS "settings?" FROM communities WHERE id = ANY ($1::text[])
