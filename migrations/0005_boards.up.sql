-- curia_realtime 5: what happens to boards. The old permissions are kept, since they say who loses access.

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

INSERT INTO curia_realtime.migration (version, name) VALUES (5, 'boards');

-- Taken out and put back while somebody was reading: what lies between is lost to him.
INSERT INTO curia_realtime.outbox (kind, data)
SELECT 'reset', '{"table": "boards"}' WHERE EXISTS (SELECT FROM curia_realtime.tick WHERE n > 0);

GRANT SELECT (id, community_id, name, description, settings, created_at, updated_at)
    ON public.boards TO curia_realtime;

SET LOCAL ROLE curia_realtime_owner;

CREATE FUNCTION curia_realtime.board_created() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, board_id, data)
    VALUES ('board_created', NEW.id, jsonb_build_object('community_id', NEW.community_id));
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION curia_realtime.board_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, board_id, data)
    VALUES ('board_updated', NEW.id, jsonb_build_object(
        'community_id', NEW.community_id,
        'changed', array_remove(ARRAY[
            CASE WHEN OLD.name IS DISTINCT FROM NEW.name THEN 'name' END,
            CASE WHEN OLD.description IS DISTINCT FROM NEW.description THEN 'description' END,
            CASE WHEN OLD.settings IS DISTINCT FROM NEW.settings THEN 'settings' END,
            CASE WHEN OLD.community_id IS DISTINCT FROM NEW.community_id THEN 'community_id' END], NULL),
        'community_id_was', OLD.community_id,
        'settings_was', curia_realtime.permissions_of(OLD.settings)));
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION curia_realtime.board_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, board_id, data)
    SELECT 'board_deleted', gone.id, jsonb_build_object(
               'community_id', gone.community_id,
               'settings_was', curia_realtime.permissions_of(gone.settings))
    FROM gone;
    IF FOUND AND NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION
    curia_realtime.board_created(),
    curia_realtime.board_updated(),
    curia_realtime.board_deleted()
    FROM PUBLIC;

DO $$
BEGIN
    PERFORM set_config('role', current_setting('curia_realtime.installer'), true);
END
$$;

-- From here on writers of the table wait for us.
CREATE TRIGGER zz_curia_board_created
    AFTER INSERT ON public.boards
    FOR EACH ROW
    EXECUTE FUNCTION curia_realtime.board_created();

CREATE TRIGGER zz_curia_board_updated
    AFTER UPDATE OF name, description, settings, community_id ON public.boards
    FOR EACH ROW
    WHEN (OLD.name IS DISTINCT FROM NEW.name
       OR OLD.description IS DISTINCT FROM NEW.description
       OR OLD.settings IS DISTINCT FROM NEW.settings
       OR OLD.community_id IS DISTINCT FROM NEW.community_id)
    EXECUTE FUNCTION curia_realtime.board_updated();

CREATE TRIGGER zz_curia_board_deleted
    AFTER DELETE ON public.boards
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT
    EXECUTE FUNCTION curia_realtime.board_deleted();

CREATE TRIGGER zz_curia_reset
    AFTER TRUNCATE ON public.boards
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
