-- curia_realtime 1, taken back. What has not been read is lost. Objects that are not ours in the schema stop it.

BEGIN;

SET LOCAL lock_timeout = '300ms';
SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'curia_realtime_owner', 'USAGE') THEN
        GRANT curia_realtime_owner TO CURRENT_USER;
        PERFORM set_config('curia_realtime.lent', 'yes', true);
    END IF;
END
$$;

-- Refused while a later migration stands.
DELETE FROM curia_realtime.migration WHERE version = 1;

DROP FUNCTION IF EXISTS curia_realtime.permissions_of(jsonb);
-- What tables that were put aside still call.
DROP FUNCTION IF EXISTS curia_realtime.reset() CASCADE;
DROP TABLE IF EXISTS curia_realtime.tick;
DROP TABLE IF EXISTS curia_realtime.epoch;
DROP FUNCTION IF EXISTS curia_realtime.home();
DROP TABLE IF EXISTS curia_realtime.outbox;
DROP TABLE curia_realtime.migration;
DROP SCHEMA curia_realtime;

DO $$
DECLARE
    role text;
BEGIN
    IF has_schema_privilege('public', 'USAGE WITH GRANT OPTION') THEN
        REVOKE USAGE ON SCHEMA public FROM curia_realtime_owner, curia_realtime;
    END IF;
    IF current_setting('curia_realtime.lent', true) = 'yes' THEN
        REVOKE curia_realtime_owner FROM CURRENT_USER;
    END IF;

    -- Roles belong to the cluster: they go with the last database that uses them.
    FOREACH role IN ARRAY ARRAY['curia_realtime_owner', 'curia_realtime'] LOOP
        BEGIN
            EXECUTE format('COMMENT ON ROLE %I IS NULL', role); -- Locks it, so that two databases do not both drop it.
            EXECUTE format('DROP ROLE %I', role);
        EXCEPTION
            WHEN undefined_object THEN
                NULL;
            WHEN dependent_objects_still_exist OR insufficient_privilege OR lock_not_available THEN
                RAISE NOTICE 'role % stays: %', role, SQLERRM;
        END;
    END LOOP;
END
$$;

COMMIT;
