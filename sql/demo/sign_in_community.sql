-- What the forum runs at every sign-in, so that a new community needs no registration.
INSERT INTO communities (id, name, community_short_id, settings)
VALUES ($1, $2, $3, '{}')
ON CONFLICT (id) DO UPDATE
    SET name               = EXCLUDED.name,
        community_short_id = EXCLUDED.community_short_id,
        updated_at         = NOW();
