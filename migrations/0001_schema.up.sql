-- curia_realtime 1: roles, schema, outbox and the position of its reader.
--
-- Plain SQL: `psql -v ON_ERROR_STOP=1 -f` runs these files in order, as a superuser or as the owner of the forum's
-- tables with CREATEROLE and CREATE on the database. The forum is expected in the schema public.
-- Each file is one transaction. Applied a second time or out of turn it fails on a constraint of
-- curia_realtime.migration (this one on the existing schema) and changes nothing. Where psql was stopped half-way, by a lock_timeout or
-- otherwise, `curia-realtime migrate up` goes on from what stands; without it, run the files behind the last one that stands there.

BEGIN;

-- No table of the forum is locked in here; what can be waited for is another database of the cluster making the same roles.
SET LOCAL lock_timeout = '10s';
SET LOCAL search_path = pg_catalog, pg_temp;

-- Roles belong to the cluster: another database may have made them, may be making them, or may be dropping them.
DO $$
DECLARE
    roles CONSTANT text[] := ARRAY[
        ['curia_realtime_owner', 'Owns the schema curia_realtime; nobody logs in as it.'],
        ['curia_realtime', 'What the broadcaster may do; granted to the role it logs in as.']];
    role text[];
BEGIN
    FOREACH role SLICE 1 IN ARRAY roles LOOP
        FOR attempt IN 1..5 LOOP
            BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role[1]) THEN
                    EXECUTE format('CREATE ROLE %I NOLOGIN', role[1]);
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- Another database was quicker.
            END;
            BEGIN
                -- COMMENT locks the role until we commit: it cannot be dropped before our objects depend on it.
                EXECUTE format('COMMENT ON ROLE %I IS %L', role[1], role[2]);
                EXIT;
            EXCEPTION
                WHEN insufficient_privilege THEN
                    EXIT; -- A role the administrator made for us; we need not be allowed to change it.
                WHEN undefined_object THEN
                    IF attempt = 5 THEN RAISE; END IF; -- Another database has just dropped it: make it again.
            END;
        END LOOP;
    END LOOP;
END
$$;

-- Whoever is no superuser has to belong to the owner role to make objects of it; the last block takes that back.
DO $$
BEGIN
    PERFORM set_config('curia_realtime.installer', current_setting('role'), true);
    IF NOT pg_has_role(current_user, 'curia_realtime_owner', 'USAGE') THEN
        GRANT curia_realtime_owner TO CURRENT_USER;
        PERFORM set_config('curia_realtime.lent', 'yes', true);
    END IF;
END
$$;

CREATE SCHEMA curia_realtime AUTHORIZATION curia_realtime_owner;

-- Made as the owner role, so that default privileges of whoever installs do not open them to others.
SET LOCAL ROLE curia_realtime_owner;

CREATE TABLE curia_realtime.migration (
    version    integer,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    previous   integer GENERATED ALWAYS AS (NULLIF(version - 1, 0)) STORED,
    CONSTRAINT migration_is_applied_once PRIMARY KEY (version),
    CONSTRAINT migration_follows_the_previous FOREIGN KEY (previous) REFERENCES curia_realtime.migration (version)
);

-- No CHECK and no foreign key: nothing in here may be a reason for a write of the forum to fail.
-- The sequence must stay uncached: of two transactions that change one row, the later must draw the higher seq.
-- Its readers ask by xid; one index serves them and the key, since every index is paid for by the forum's writers.
-- Vacuum comes by number of rows, as in a queue, and never truncates, which would lock out the forum's writers.
CREATE TABLE curia_realtime.outbox (
    seq      bigint GENERATED ALWAYS AS IDENTITY,
    xid      xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind     text NOT NULL,
    board_id integer,
    post_id  integer,
    row_id   integer,
    actor    text,
    data     jsonb,
    PRIMARY KEY (xid, seq)
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 500000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 500000,
    vacuum_truncate = false
);

-- Where these tables are: server, database, tables themselves, timeline. Restoring, copying or promoting changes one of them.
-- NULL on a standby. One expression without a subquery, so that it is inlined into statements that ask it all the time: the control
-- file is read for some 5 us. The path names the database's oid without a look into pg_database; the timeline is the one
-- that WAL is written on, which the control file learns of only with the next checkpoint.
CREATE FUNCTION curia_realtime.home() RETURNS text
LANGUAGE sql
RETURN CASE WHEN NOT pg_is_in_recovery() THEN concat_ws('/',
    (pg_control_system()).system_identifier,
    split_part(pg_relation_filepath(to_regclass('curia_realtime.tick')), '/', -2),
    to_regclass('curia_realtime.tick')::oid,
    left(pg_walfile_name(pg_current_wal_lsn()), 8))
END;
REVOKE ALL ON FUNCTION curia_realtime.home() FROM PUBLIC;

-- An id is sent to clients inside their cursor, hence below 2^53; random, so that a restored database never repeats one.
-- Ticks of an epoch mean something only where it began: elsewhere transactions are numbered otherwise.
CREATE TABLE curia_realtime.epoch (
    id         bigint PRIMARY KEY DEFAULT 1 + floor(random() * (2 ^ 53 - 1))::bigint CHECK (id > 0 AND id < 2 ^ 53),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason     text NOT NULL,
    home       text NOT NULL DEFAULT curia_realtime.home()
);

CREATE TABLE curia_realtime.tick (
    epoch    bigint NOT NULL REFERENCES curia_realtime.epoch (id),
    n        bigint NOT NULL CHECK (n >= 0),
    snapshot pg_snapshot NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (epoch, n)
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 500000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 500000
);

-- A TRUNCATE names no rows: whoever follows that table has to start afresh.
CREATE FUNCTION curia_realtime.reset() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO curia_realtime.outbox (kind, data)
    VALUES ('reset', jsonb_build_object('table', TG_TABLE_NAME));
    IF NOT pg_try_advisory_xact_lock_shared(1129665097, 1) THEN
        PERFORM pg_notify('curia_realtime', '');
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION curia_realtime.reset() FROM PUBLIC;

-- What the access rule needs of a settings column that is about to be overwritten. An absent one closes nothing.
CREATE FUNCTION curia_realtime.permissions_of(settings jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN settings IS NULL THEN '{}'::jsonb
    WHEN jsonb_typeof(settings) <> 'object' THEN '"malformed"'::jsonb
    WHEN settings ? 'permissions' THEN jsonb_build_object('permissions', settings -> 'permissions')
    ELSE '{}'::jsonb
END;
REVOKE ALL ON FUNCTION curia_realtime.permissions_of(jsonb) FROM PUBLIC;

GRANT USAGE ON SCHEMA curia_realtime TO curia_realtime;
GRANT EXECUTE ON FUNCTION curia_realtime.home() TO curia_realtime;
GRANT SELECT ON curia_realtime.migration TO curia_realtime;
GRANT SELECT, DELETE ON curia_realtime.outbox TO curia_realtime;
GRANT SELECT, INSERT ON curia_realtime.epoch TO curia_realtime;
GRANT SELECT, INSERT, DELETE ON curia_realtime.tick TO curia_realtime;

-- Tick 0. The triggers come with later transactions, so whoever they capture is still running in this snapshot or has
-- not begun: nothing captured can lie in its past.
WITH first AS (
    INSERT INTO curia_realtime.epoch (reason) VALUES ('installed') RETURNING id
)
INSERT INTO curia_realtime.tick (epoch, n, snapshot)
SELECT id, 0, pg_current_snapshot() FROM first;

INSERT INTO curia_realtime.migration (version, name) VALUES (1, 'schema');

DO $$
BEGIN
    PERFORM set_config('role', current_setting('curia_realtime.installer'), true);
    -- Explicit, where it is ours to give, so that the forum's deletes go on when someone takes USAGE from PUBLIC.
    IF has_schema_privilege('public', 'USAGE WITH GRANT OPTION') THEN
        GRANT USAGE ON SCHEMA public TO curia_realtime_owner, curia_realtime;
    END IF;
    IF current_setting('curia_realtime.lent', true) = 'yes' THEN
        REVOKE curia_realtime_owner FROM CURRENT_USER;
    END IF;
END
$$;

COMMIT;
