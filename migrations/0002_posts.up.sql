-- curia_realtime 2: what happens to posts.
--
-- Each trigger names its columns, so that an embedding or an updated_at costs the forum nothing and a vote never makes
-- PostgreSQL fetch and compare a long content.

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

INSERT INTO curia_realtime.migration (version, name) VALUES (2, 'posts');

-- Taken out and put back while somebody was reading: what lies between is lost to him.
INSERT INTO curia_realtime.outbox (kind, data)
SELECT 'reset', '{"table": "posts"}' WHERE EXISTS (SELECT FROM curia_realtime.tick WHERE n > 0);

-- The author is shown beside his post. Never `embedding` or `settings`.
GRANT SELECT (id, author_user_id, title, content, tags, upvote_count, comment_count, board_id, lock_id, created_at, updated_at)
    ON public.posts TO curia_realtime;
GRANT SELECT (user_id, name, profile_picture_url) ON public.users TO curia_realtime;
-- All that the delete triggers ask: does the post, does the board still stand?
GRANT SELECT (id) ON public.posts, public.boards TO curia_realtime_owner;

SET LOCAL ROLE curia_realtime_owner;

CREATE FUNCTION curia_realtime.post_created() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, board_id, post_id, actor)
    VALUES ('post_created', NEW.board_id, NEW.id, NEW.author_user_id);
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION curia_realtime.post_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, board_id, post_id, data)
    VALUES ('post_updated', NEW.board_id, NEW.id, jsonb_build_object('changed', array_remove(ARRAY[
        CASE WHEN OLD.title IS DISTINCT FROM NEW.title THEN 'title' END,
        CASE WHEN OLD.content IS DISTINCT FROM NEW.content THEN 'content' END,
        CASE WHEN OLD.tags IS DISTINCT FROM NEW.tags THEN 'tags' END,
        CASE WHEN OLD.lock_id IS DISTINCT FROM NEW.lock_id THEN 'lock_id' END], NULL)));
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION curia_realtime.post_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, board_id, post_id, data)
    VALUES ('post_moved', NEW.board_id, NEW.id, jsonb_build_object('from', OLD.board_id));
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

-- One function and one trigger for each counter, called with every vote and every comment. A vote has a row of its own already:
-- its trigger has named the post, whose upvote_count may then change unnoted. So has a new comment.
-- A WHEN clause would cost more than this call, since PostgreSQL reads it anew with every statement. Nor do these functions,
-- and those of a vote and of a comment, SET search_path, which costs a walk through all of the server's settings: they name the
-- schema of whatever they use, and use no operator, so that there is nothing a search_path could lead elsewhere.
CREATE FUNCTION curia_realtime.post_upvotes_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF pg_catalog.texteq(pg_catalog.current_setting('curia_realtime.voted', true), NEW.id::pg_catalog.text) THEN
        RETURN NULL;
    END IF;
    IF pg_catalog.texteq(COALESCE(NEW.upvote_count::pg_catalog.text, ''),
                         COALESCE(OLD.upvote_count::pg_catalog.text, '')) THEN
        RETURN NULL;
    END IF;
    INSERT INTO curia_realtime.outbox (kind, board_id, post_id, data)
    VALUES ('post_counted', NEW.board_id, NEW.id, '{"counts": ["upvote_count"]}');
    IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_catalog.pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION curia_realtime.post_comments_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF pg_catalog.texteq(pg_catalog.current_setting('curia_realtime.commented', true), NEW.id::pg_catalog.text) THEN
        RETURN NULL;
    END IF;
    IF pg_catalog.texteq(COALESCE(NEW.comment_count::pg_catalog.text, ''),
                         COALESCE(OLD.comment_count::pg_catalog.text, '')) THEN
        RETURN NULL;
    END IF;
    INSERT INTO curia_realtime.outbox (kind, board_id, post_id, data)
    VALUES ('post_counted', NEW.board_id, NEW.id, '{"counts": ["comment_count"]}');
    IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_catalog.pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

-- A post that goes with its board is told by the board. The subquery is a scalar one on purpose: it stays a look-up in
-- the primary key, whatever size of delete the session's plan was first made for.
CREATE FUNCTION curia_realtime.post_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, board_id, post_id)
    SELECT 'post_deleted', gone.board_id, gone.id
    FROM gone
    WHERE gone.board_id IS NULL
       OR (SELECT true FROM public.boards WHERE boards.id = gone.board_id);
    IF FOUND AND NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION
    curia_realtime.post_created(),
    curia_realtime.post_updated(),
    curia_realtime.post_moved(),
    curia_realtime.post_upvotes_counted(),
    curia_realtime.post_comments_counted(),
    curia_realtime.post_deleted()
    FROM PUBLIC;

DO $$
BEGIN
    PERFORM set_config('role', current_setting('curia_realtime.installer'), true);
END
$$;

-- From here on writers of the table wait for us.
CREATE TRIGGER zz_curia_post_created
    AFTER INSERT ON public.posts
    FOR EACH ROW
    EXECUTE FUNCTION curia_realtime.post_created();

CREATE TRIGGER zz_curia_post_updated
    AFTER UPDATE OF title, content, tags, lock_id ON public.posts
    FOR EACH ROW
    WHEN (OLD.title IS DISTINCT FROM NEW.title
       OR OLD.content IS DISTINCT FROM NEW.content
       OR OLD.tags IS DISTINCT FROM NEW.tags
       OR OLD.lock_id IS DISTINCT FROM NEW.lock_id)
    EXECUTE FUNCTION curia_realtime.post_updated();

CREATE TRIGGER zz_curia_post_moved
    AFTER UPDATE OF board_id ON public.posts
    FOR EACH ROW
    WHEN (OLD.board_id IS DISTINCT FROM NEW.board_id)
    EXECUTE FUNCTION curia_realtime.post_moved();

CREATE TRIGGER zz_curia_post_upvotes_counted
    AFTER UPDATE OF upvote_count ON public.posts
    FOR EACH ROW
    EXECUTE FUNCTION curia_realtime.post_upvotes_counted();

CREATE TRIGGER zz_curia_post_comments_counted
    AFTER UPDATE OF comment_count ON public.posts
    FOR EACH ROW
    EXECUTE FUNCTION curia_realtime.post_comments_counted();

CREATE TRIGGER zz_curia_post_deleted
    AFTER DELETE ON public.posts
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT
    EXECUTE FUNCTION curia_realtime.post_deleted();

CREATE TRIGGER zz_curia_reset
    AFTER TRUNCATE ON public.posts
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
