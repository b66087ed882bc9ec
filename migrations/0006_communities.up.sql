-- curia_realtime 6: settings of communities. A sign-in touches this table on every visit, and is nobody's event.

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

INSERT INTO curia_realtime.migration (version, name) VALUES (6, 'communities');

-- Taken out and put back while somebody was reading: what lies between is lost to him.
INSERT INTO curia_realtime.outbox (kind, data)
SELECT 'reset', '{"table": "communities"}' WHERE EXISTS (SELECT FROM curia_realtime.tick WHERE n > 0);

GRANT SELECT (id, name, settings, community_short_id, plugin_id) ON public.communities TO curia_realtime;

SET LOCAL ROLE curia_realtime_owner;

CREATE FUNCTION curia_realtime.community_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, data)
    VALUES ('community_updated', jsonb_build_object(
        'community_id', NEW.id,
        'settings_was', curia_realtime.permissions_of(OLD.settings)));
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION curia_realtime.community_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, data)
    SELECT 'community_deleted', jsonb_build_object('community_id', gone.id)
    FROM gone;
    IF FOUND AND NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION
    curia_realtime.community_updated(),
    curia_realtime.community_deleted()
    FROM PUBLIC;

DO $$
BEGIN
    PERFORM set_config('role', current_setting('curia_realtime.installer'), true);
END
$$;

-- From here on writers of the table wait for us.
CREATE TRIGGER zz_curia_community_updated
    AFTER UPDATE OF settings ON public.communities
    FOR EACH ROW
    WHEN (OLD.settings IS DISTINCT FROM NEW.settings)
    EXECUTE FUNCTION curia_realtime.community_updated();

CREATE TRIGGER zz_curia_community_deleted
    AFTER DELETE ON public.communities
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT
    EXECUTE FUNCTION curia_realtime.community_deleted();

CREATE TRIGGER zz_curia_reset
    AFTER TRUNCATE ON public.communities
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
