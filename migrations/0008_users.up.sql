-- curia_realtime 8: users who are deleted, whose sessions end. A sign-in touches this table on every visit, and is nobody's event.

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

INSERT INTO curia_realtime.migration (version, name) VALUES (8, 'users');

-- Taken out and put back while somebody was reading: what lies between is lost to him.
INSERT INTO curia_realtime.outbox (kind, data)
SELECT 'reset', '{"table": "users"}' WHERE EXISTS (SELECT FROM curia_realtime.tick WHERE n > 0);

SET LOCAL ROLE curia_realtime_owner;

CREATE FUNCTION curia_realtime.user_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, data)
    SELECT 'user_deleted', jsonb_build_object('user_id', gone.user_id)
    FROM gone;
    IF FOUND AND NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION curia_realtime.user_deleted() FROM PUBLIC;

DO $$
BEGIN
    PERFORM set_config('role', current_setting('curia_realtime.installer'), true);
END
$$;

-- From here on writers of the table wait for us.
CREATE TRIGGER zz_curia_user_deleted
    AFTER DELETE ON public.users
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT
    EXECUTE FUNCTION curia_realtime.user_deleted();

CREATE TRIGGER zz_curia_reset
    AFTER TRUNCATE ON public.users
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
