-- curia_realtime 7, taken back.

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
DELETE FROM curia_realtime.migration WHERE version = 7;

-- A table that was made anew has no trigger of ours, and one that was put aside keeps them: CASCADE finds those.
DROP TRIGGER IF EXISTS zz_curia_import_created ON public.imported_boards;
DROP TRIGGER IF EXISTS zz_curia_import_updated ON public.imported_boards;
DROP TRIGGER IF EXISTS zz_curia_import_deleted ON public.imported_boards;
DROP TRIGGER IF EXISTS zz_curia_reset ON public.imported_boards;

DROP FUNCTION IF EXISTS curia_realtime.import_changed() CASCADE;
DROP FUNCTION IF EXISTS curia_realtime.import_deleted() CASCADE;

DO $$
BEGIN
    IF to_regclass('public.imported_boards') IS NOT NULL THEN
        REVOKE ALL ON public.imported_boards FROM curia_realtime;
    END IF;
END
$$;

DO $$
BEGIN
    IF current_setting('curia_realtime.lent', true) = 'yes' THEN
        REVOKE curia_realtime_owner FROM CURRENT_USER;
    END IF;
END
$$;

COMMIT;
