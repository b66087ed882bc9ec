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

DROP TRIGGER zz_curia_post_created ON public.posts;
DROP TRIGGER zz_curia_post_updated ON public.posts;
DROP TRIGGER zz_curia_post_moved ON public.posts;
DROP TRIGGER zz_curia_post_upvotes_counted ON public.posts;
DROP TRIGGER zz_curia_post_comments_counted ON public.posts;
DROP TRIGGER zz_curia_post_deleted ON public.posts;
DROP TRIGGER zz_curia_reset ON public.posts;

DROP FUNCTION curia_realtime.post_created();
DROP FUNCTION curia_realtime.post_updated();
DROP FUNCTION curia_realtime.post_moved();
DROP FUNCTION curia_realtime.post_upvotes_counted();
DROP FUNCTION curia_realtime.post_comments_counted();
DROP FUNCTION curia_realtime.post_deleted();

REVOKE ALL ON public.posts, public.users FROM curia_realtime;
REVOKE ALL ON public.posts, public.boards FROM curia_realtime_owner;

DO $$
BEGIN
    IF current_setting('curia_realtime.lent', true) = 'yes' THEN
        REVOKE curia_realtime_owner FROM CURRENT_USER;
    END IF;
END
$$;

COMMIT;
