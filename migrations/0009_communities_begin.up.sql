-- curia_realtime 9: communities that begin, and what one that ends had asked for. What a community imports outlives it, and whoever signs in
-- makes its row again: from then on its people see those boards.

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

INSERT INTO curia_realtime.migration (version, name) VALUES (9, 'communities_begin');

-- What began unseen, while somebody was reading, is lost to him.
INSERT INTO curia_realtime.outbox (kind, data)
SELECT 'reset', '{"table": "communities"}' WHERE EXISTS (SELECT FROM curia_realtime.tick WHERE n > 0);

SET LOCAL ROLE curia_realtime_owner;

CREATE FUNCTION curia_realtime.community_created() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, data)
    VALUES ('community_created', jsonb_build_object('community_id', NEW.id));
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION curia_realtime.community_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, data)
    SELECT 'community_deleted', jsonb_build_object(
               'community_id', gone.id,
               'settings_was', curia_realtime.permissions_of(gone.settings))
    FROM gone;
    IF FOUND AND NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION curia_realtime.community_created() FROM PUBLIC;

DO $$
BEGIN
    PERFORM set_config('role', current_setting('curia_realtime.installer'), true);
END
$$;

-- From here on writers of the table wait for us. A sign-in that finds its community there calls nothing: it ends as an UPDATE.
CREATE TRIGGER zz_curia_community_created
    AFTER INSERT ON public.communities
    FOR EACH ROW
    EXECUTE FUNCTION curia_realtime.community_created();

DO $$
BEGIN
    IF current_setting('curia_realtime.lent', true) = 'yes' THEN
        REVOKE curia_realtime_owner FROM CURRENT_USER;
    END IF;
END
$$;

COMMIT;
