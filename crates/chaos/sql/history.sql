-- The oracle's own history, written in the forum's transactions by triggers that know nothing of curia_realtime. They fire first
-- (aa_ before zz_), so that of one row's changes each entry's `at` lies just before the time that clients are told, and behind
-- that of the change before.
--
-- Who changes content holds a board's lock shared, who changes rights holds it alone, both to the end of the transaction: seq is
-- therefore the order in which they committed. `snapshot` sees exactly what was committed before.

CREATE SCHEMA chaos;

CREATE TABLE chaos.history (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid      xid8 NOT NULL DEFAULT pg_current_xact_id(),
    snapshot pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    what     text NOT NULL,
    board_id integer,
    post_id  integer,
    row_id   integer,
    data     jsonb NOT NULL DEFAULT '{}'
);

CREATE FUNCTION chaos.note_post() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO chaos.history (what, board_id, post_id, data)
        VALUES ('post_created', NEW.board_id, NEW.id, jsonb_build_object('stamp', NEW.title));
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO chaos.history (what, board_id, post_id, data)
        VALUES ('post_deleted', OLD.board_id, OLD.id,
                jsonb_build_object('with_board', NOT EXISTS (SELECT FROM boards WHERE id = OLD.board_id)));
    ELSE
        IF NEW.title IS DISTINCT FROM OLD.title THEN
            INSERT INTO chaos.history (what, board_id, post_id, data)
            VALUES ('post_updated', NEW.board_id, NEW.id, jsonb_build_object('stamp', NEW.title));
        END IF;
        IF NEW.board_id IS DISTINCT FROM OLD.board_id THEN
            INSERT INTO chaos.history (what, board_id, post_id, data)
            VALUES ('post_moved', NEW.board_id, NEW.id, jsonb_build_object('from', OLD.board_id));
        END IF;
        IF NEW.upvote_count <> OLD.upvote_count THEN
            INSERT INTO chaos.history (what, board_id, post_id, data)
            VALUES ('upvotes', NEW.board_id, NEW.id, jsonb_build_object('count', NEW.upvote_count));
        END IF;
        IF NEW.comment_count <> OLD.comment_count THEN
            INSERT INTO chaos.history (what, board_id, post_id, data)
            VALUES ('comments', NEW.board_id, NEW.id, jsonb_build_object('count', NEW.comment_count));
        END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION chaos.note_vote() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.history (what, post_id) VALUES ('vote', coalesce(NEW.post_id, OLD.post_id));
    RETURN NULL;
END
$$;

CREATE FUNCTION chaos.note_comment() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    board integer := (SELECT board_id FROM posts WHERE id = coalesce(NEW.post_id, OLD.post_id));
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO chaos.history (what, board_id, post_id, row_id, data)
        VALUES ('comment_created', board, NEW.post_id, NEW.id, jsonb_build_object('stamp', NEW.content));
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO chaos.history (what, board_id, post_id, row_id, data)
        VALUES ('comment_updated', board, NEW.post_id, NEW.id, jsonb_build_object('stamp', NEW.content));
    ELSE
        INSERT INTO chaos.history (what, board_id, post_id, row_id, data)
        VALUES ('comment_deleted', board, OLD.post_id, OLD.id, jsonb_build_object('with_post', board IS NULL));
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION chaos.note_board() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO chaos.history (what, board_id, data)
        VALUES ('board_created', NEW.id, jsonb_build_object('community', NEW.community_id, 'settings', NEW.settings));
    ELSIF TG_OP = 'UPDATE' THEN
        IF (OLD.name, OLD.description, OLD.settings) IS DISTINCT FROM (NEW.name, NEW.description, NEW.settings) THEN
            INSERT INTO chaos.history (what, board_id, data)
            VALUES ('board_updated', NEW.id, jsonb_build_object('community', NEW.community_id, 'settings', NEW.settings));
        END IF;
    ELSE
        INSERT INTO chaos.history (what, board_id) VALUES ('board_deleted', OLD.id);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION chaos.note_community() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.history (what, data)
    VALUES ('community', jsonb_build_object('community', NEW.id, 'settings', NEW.settings));
    RETURN NULL;
END
$$;

CREATE FUNCTION chaos.note_import() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.history (what, board_id, data)
    VALUES ('import', NEW.source_board_id,
            jsonb_build_object('community', NEW.importing_community_id, 'active', coalesce(NEW.is_active, false)));
    RETURN NULL;
END
$$;

CREATE TRIGGER aa_chaos AFTER INSERT OR UPDATE OR DELETE ON posts
    FOR EACH ROW EXECUTE FUNCTION chaos.note_post();
CREATE TRIGGER aa_chaos AFTER INSERT OR DELETE ON votes
    FOR EACH ROW EXECUTE FUNCTION chaos.note_vote();
CREATE TRIGGER aa_chaos AFTER INSERT OR UPDATE OF content OR DELETE ON comments
    FOR EACH ROW EXECUTE FUNCTION chaos.note_comment();
CREATE TRIGGER aa_chaos AFTER INSERT OR UPDATE OF name, description, settings OR DELETE ON boards
    FOR EACH ROW EXECUTE FUNCTION chaos.note_board();
CREATE TRIGGER aa_chaos AFTER INSERT OR UPDATE OF settings ON communities
    FOR EACH ROW EXECUTE FUNCTION chaos.note_community();
CREATE TRIGGER aa_chaos AFTER INSERT OR UPDATE OF is_active ON imported_boards
    FOR EACH ROW EXECUTE FUNCTION chaos.note_import();
