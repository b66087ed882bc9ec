-- curia_realtime 2, taken back.

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
DELETE FROM curia_realtime.migration WHERE version = 2;

-- A table that was made anew has no trigger of ours, and one that was put aside keeps them: CASCADE finds those.
DROP TRIGGER IF EXISTS zz_curia_post_created ON public.posts;
DROP TRIGGER IF EXISTS zz_curia_post_updated ON public.posts;
DROP TRIGGER IF EXISTS zz_curia_post_moved ON public.posts;
DROP TRIGGER IF EXISTS zz_curia_post_upvotes_counted ON public.posts;
DROP TRIGGER IF EXISTS zz_curia_post_comments_counted ON public.posts;
DROP TRIGGER IF EXISTS zz_curia_post_deleted ON public.posts;
DROP TRIGGER IF EXISTS zz_curia_reset ON public.posts;

DROP FUNCTION IF EXISTS curia_realtime.post_created() CASCADE;
DROP FUNCTION IF EXISTS curia_realtime.post_updated() CASCADE;
DROP FUNCTION IF EXISTS curia_realtime.post_moved() CASCADE;
DROP FUNCTION IF EXISTS curia_realtime.post_upvotes_counted() CASCADE;
DROP FUNCTION IF EXISTS curia_realtime.post_comments_counted() CASCADE;
DROP FUNCTION IF EXISTS curia_realtime.post_deleted() CASCADE;

DO $$
BEGIN
    IF to_regclass('public.posts') IS NOT NULL THEN
        REVOKE ALL ON public.posts FROM curia_realtime, curia_realtime_owner;
    END IF;
    IF to_regclass('public.users') IS NOT NULL THEN
        REVOKE ALL ON public.users FROM curia_realtime;
    END IF;
    IF to_regclass('public.boards') IS NOT NULL THEN
        REVOKE ALL ON public.boards FROM curia_realtime_owner;
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
