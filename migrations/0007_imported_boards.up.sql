-- curia_realtime 7: boards lent to other communities. A row that is not active, or is no more, lends nothing.

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

INSERT INTO curia_realtime.migration (version, name) VALUES (7, 'imported_boards');

-- Taken out and put back while somebody was reading: what lies between is lost to him.
INSERT INTO curia_realtime.outbox (kind, data)
SELECT 'reset', '{"table": "imported_boards"}' WHERE EXISTS (SELECT FROM curia_realtime.tick WHERE n > 0);

GRANT SELECT (id, source_board_id, importing_community_id, is_active) ON public.imported_boards TO curia_realtime;

SET LOCAL ROLE curia_realtime_owner;

CREATE FUNCTION curia_realtime.import_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.source_board_id IS DISTINCT FROM NEW.source_board_id
                          OR OLD.importing_community_id IS DISTINCT FROM NEW.importing_community_id) THEN
        INSERT INTO curia_realtime.outbox (kind, board_id, row_id, data)
        VALUES ('import_changed', OLD.source_board_id, OLD.id, jsonb_build_object(
                    'community_id', OLD.importing_community_id,
                    'active', false,
                    'active_was', coalesce(OLD.is_active, false))),
               ('import_changed', NEW.source_board_id, NEW.id, jsonb_build_object(
                    'community_id', NEW.importing_community_id,
                    'active', coalesce(NEW.is_active, false),
                    'active_was', false));
    ELSE
        INSERT INTO curia_realtime.outbox (kind, board_id, row_id, data)
        VALUES ('import_changed', NEW.source_board_id, NEW.id, jsonb_build_object(
                    'community_id', NEW.importing_community_id,
                    'active', coalesce(NEW.is_active, false),
                    'active_was', coalesce(OLD.is_active, false))); -- Of an INSERT every column of OLD is null.
    END IF;
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

-- Who had imported a board when it ended nobody could tell afterwards. A scalar subquery: see post_deleted.
CREATE FUNCTION curia_realtime.import_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, board_id, row_id, data)
    SELECT 'import_changed', gone.source_board_id, gone.id, jsonb_build_object(
               'community_id', gone.importing_community_id,
               'active', false,
               'active_was', coalesce(gone.is_active, false),
               'with_board', (SELECT true FROM public.boards WHERE boards.id = gone.source_board_id) IS NULL)
    FROM gone;
    IF FOUND AND NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION
    curia_realtime.import_changed(),
    curia_realtime.import_deleted()
    FROM PUBLIC;

DO $$
BEGIN
    PERFORM set_config('role', current_setting('curia_realtime.installer'), true);
END
$$;

-- From here on writers of the table wait for us.
CREATE TRIGGER zz_curia_import_created
    AFTER INSERT ON public.imported_boards
    FOR EACH ROW
    EXECUTE FUNCTION curia_realtime.import_changed();

CREATE TRIGGER zz_curia_import_updated
    AFTER UPDATE OF source_board_id, importing_community_id, is_active ON public.imported_boards
    FOR EACH ROW
    WHEN (OLD.source_board_id IS DISTINCT FROM NEW.source_board_id
       OR OLD.importing_community_id IS DISTINCT FROM NEW.importing_community_id
       OR OLD.is_active IS DISTINCT FROM NEW.is_active)
    EXECUTE FUNCTION curia_realtime.import_changed();

CREATE TRIGGER zz_curia_import_deleted
    AFTER DELETE ON public.imported_boards
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT
    EXECUTE FUNCTION curia_realtime.import_deleted();

CREATE TRIGGER zz_curia_reset
    AFTER TRUNCATE ON public.imported_boards
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
