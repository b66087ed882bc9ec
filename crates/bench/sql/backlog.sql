-- A million changes as a bulk load writes them, half votes and half comments, in transactions of 100 rows each.
DO $$
BEGIN
    FOR part IN 0 .. 4999 LOOP
        INSERT INTO votes (user_id, post_id)
        SELECT (1 + n / 1000)::text, 1 + n % 1000 FROM generate_series(part * 100, part * 100 + 99) AS n;
        COMMIT;
        INSERT INTO comments (post_id, author_user_id, content)
        SELECT 1 + n % 1000, (1 + n / 1000)::text, 'An answer of a sentence or two.'
        FROM generate_series(part * 100, part * 100 + 99) AS n;
        COMMIT;
    END LOOP;
END
$$
