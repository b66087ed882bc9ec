-- What everybody writes first, and what ours is compared with: the row as JSON in a NOTIFY of every change.

CREATE FUNCTION notify_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('changes', json_build_object(
        'table', TG_TABLE_NAME,
        'operation', TG_OP,
        'row', CASE WHEN TG_OP = 'DELETE' THEN row_to_json(OLD) ELSE row_to_json(NEW) END)::text);
    RETURN NULL;
END
$$;

CREATE TRIGGER notify_change
    AFTER INSERT OR UPDATE OR DELETE ON posts
    FOR EACH ROW EXECUTE FUNCTION notify_change();

CREATE TRIGGER notify_change
    AFTER INSERT OR UPDATE OR DELETE ON votes
    FOR EACH ROW EXECUTE FUNCTION notify_change();

CREATE TRIGGER notify_change
    AFTER INSERT OR UPDATE OR DELETE ON comments
    FOR EACH ROW EXECUTE FUNCTION notify_change();
