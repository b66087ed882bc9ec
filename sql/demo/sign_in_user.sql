-- What the forum runs at every sign-in: the platform's name and picture win over what was stored.
INSERT INTO users (user_id, name, profile_picture_url, updated_at)
VALUES ($1, $2, $3, NOW())
ON CONFLICT (user_id) DO UPDATE
    SET name                = EXCLUDED.name,
        profile_picture_url = EXCLUDED.profile_picture_url,
        updated_at          = NOW();
