-- curia_realtime 3: votes given and taken back.
--
-- The forum counts a vote on its post with the next statement. curia_realtime.voted, which lasts until the transaction
-- ends or rolls back to a savepoint, tells the trigger on posts that this count has its row.

BEGIN;

SET LOCAL lock_timeout = '300ms';
SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
BEGIN
    PERFORM set_config('curia_realtime.installer', current_setting('role'), true);
    IF NOT pg_has_role(current_user, 'curia_realtime_owner', 'USAGE') THEN
        GRANT curia_realtime_owner TO CURRENT_USER;
        PERFORM set_config('curia_realtime.lent', 'yes', true);
    END IF;
END
$$;

INSERT INTO curia_realtime.migration (version, name) VALUES (3, 'votes');

-- Taken out and put back while somebody was reading: what lies between is lost to him.
INSERT INTO curia_realtime.outbox (kind, data)
SELECT 'reset', '{"table": "votes"}' WHERE EXISTS (SELECT FROM curia_realtime.tick WHERE n > 0);

SET LOCAL ROLE curia_realtime_owner;

-- Without SET search_path, and without a name that it could lead elsewhere: see post_upvotes_counted.
CREATE FUNCTION curia_realtime.vote_added() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    voted pg_catalog.text;
BEGIN
    -- Assigned: PERFORM would run a query.
    voted := pg_catalog.set_config('curia_realtime.voted', NEW.post_id::pg_catalog.text, true);
    INSERT INTO curia_realtime.outbox (kind, post_id, actor)
    VALUES ('vote_added', NEW.post_id, NEW.user_id);
    IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_catalog.pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

-- Votes that go with their post are told by the post. A scalar subquery: see post_deleted.
-- Of votes taken from several posts at once one post is named; counts of the others are noted as well, which harms nobody.
CREATE FUNCTION curia_realtime.vote_removed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    voted text;
BEGIN
    WITH noted AS (
        INSERT INTO curia_realtime.outbox (kind, post_id, actor)
        SELECT 'vote_removed', gone.post_id, gone.user_id
        FROM gone
        WHERE (SELECT true FROM public.posts WHERE posts.id = gone.post_id)
        RETURNING post_id
    )
    SELECT max(post_id)::text INTO voted FROM noted;
    IF voted IS NULL THEN
        RETURN NULL;
    END IF;
    voted := set_config('curia_realtime.voted', voted, true);
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION
    curia_realtime.vote_added(),
    curia_realtime.vote_removed()
    FROM PUBLIC;

DO $$
BEGIN
    PERFORM set_config('role', current_setting('curia_realtime.installer'), true);
END
$$;

-- From here on writers of the table wait for us.
CREATE TRIGGER zz_curia_vote_added
    AFTER INSERT ON public.votes
    FOR EACH ROW
    EXECUTE FUNCTION curia_realtime.vote_added();

CREATE TRIGGER zz_curia_vote_removed
    AFTER DELETE ON public.votes
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT
    EXECUTE FUNCTION curia_realtime.vote_removed();

CREATE TRIGGER zz_curia_reset
    AFTER TRUNCATE ON public.votes
    FOR EACH STATEMENT
    EXECUTE FUNCTION curia_realtime.reset();

DO $$
BEGIN
    IF current_setting('curia_realtime.lent', true) = 'yes' THEN
        REVOKE curia_realtime_owner FROM CURRENT_USER;
    END IF;
END
$$;

COMMIT;
