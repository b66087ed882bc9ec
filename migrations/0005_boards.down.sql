-- curia_realtime 5, taken back.

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
DELETE FROM curia_realtime.migration WHERE version = 5;

DROP TRIGGER zz_curia_board_created ON public.boards;
DROP TRIGGER zz_curia_board_updated ON public.boards;
DROP TRIGGER zz_curia_board_deleted ON public.boards;
DROP TRIGGER zz_curia_reset ON public.boards;

DROP FUNCTION curia_realtime.board_created();
DROP FUNCTION curia_realtime.board_updated();
DROP FUNCTION curia_realtime.board_deleted();

REVOKE ALL ON public.boards FROM curia_realtime;

DO $$
BEGIN
    IF current_setting('curia_realtime.lent', true) = 'yes' THEN
        REVOKE curia_realtime_owner FROM CURRENT_USER;
    END IF;
END
$$;

COMMIT;
