-- curia_realtime 4: what happens to comments.
--
-- The forum counts a new comment on its post with the next statement. curia_realtime.commented tells the trigger on posts that
-- this count has its row, as curia_realtime.voted does for votes. Any other change of the count is the business of that trigger.

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

INSERT INTO curia_realtime.migration (version, name) VALUES (4, 'comments');

-- Taken out and put back while somebody was reading: what lies between is lost to him.
INSERT INTO curia_realtime.outbox (kind, data)
SELECT 'reset', '{"table": "comments"}' WHERE EXISTS (SELECT FROM curia_realtime.tick WHERE n > 0);

GRANT SELECT (id, post_id, author_user_id, parent_comment_id, content, created_at, updated_at)
    ON public.comments TO curia_realtime;

SET LOCAL ROLE curia_realtime_owner;

-- Without SET search_path, and without a name that it could lead elsewhere: see post_upvotes_counted.
CREATE FUNCTION curia_realtime.comment_created() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    commented pg_catalog.text;
BEGIN
    -- Assigned: PERFORM would run a query.
    commented := pg_catalog.set_config('curia_realtime.commented', NEW.post_id::pg_catalog.text, true);
    INSERT INTO curia_realtime.outbox (kind, post_id, row_id, actor)
    VALUES ('comment_created', NEW.post_id, NEW.id, NEW.author_user_id);
    IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_catalog.pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION curia_realtime.comment_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, post_id, row_id, actor)
    VALUES ('comment_updated', NEW.post_id, NEW.id, NEW.author_user_id);
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

-- Comments that go with their post are told by the post; a thread that goes with its first comment is told one by one.
-- A scalar subquery: see post_deleted.
CREATE FUNCTION curia_realtime.comment_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, post_id, row_id, actor)
    SELECT 'comment_deleted', gone.post_id, gone.id, gone.author_user_id
    FROM gone
    WHERE (SELECT true FROM public.posts WHERE posts.id = gone.post_id);
    IF FOUND AND NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION
    curia_realtime.comment_created(),
    curia_realtime.comment_updated(),
    curia_realtime.comment_deleted()
    FROM PUBLIC;

DO $$
BEGIN
    PERFORM set_config('role', current_setting('curia_realtime.installer'), true);
END
$$;

-- From here on writers of the table wait for us.
CREATE TRIGGER zz_curia_comment_created
    AFTER INSERT ON public.comments
    FOR EACH ROW
    EXECUTE FUNCTION curia_realtime.comment_created();

CREATE TRIGGER zz_curia_comment_updated
    AFTER UPDATE OF content ON public.comments
    FOR EACH ROW
    WHEN (OLD.content IS DISTINCT FROM NEW.content)
    EXECUTE FUNCTION curia_realtime.comment_updated();

CREATE TRIGGER zz_curia_comment_deleted
    AFTER DELETE ON public.comments
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT
    EXECUTE FUNCTION curia_realtime.comment_deleted();

CREATE TRIGGER zz_curia_reset
    AFTER TRUNCATE ON public.comments
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
