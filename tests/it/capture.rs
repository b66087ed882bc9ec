//! The statements of the forum, each giving exactly the events of the contract.

use curia_realtime::{
    change::Change,
    event::{Told, tell},
    ids::BoardId,
    postgres::outbox::OutboxReader,
};

use crate::support::{
    postgres::Forum,
    stream::{page, pages},
};

const CONTENT_LIMIT: usize = 16_384;

/// Runs statements in one go and gives the names of the events that one tick makes of them.
async fn told(forum: &Forum, reader: &mut OutboxReader, statements: &'static str) -> Vec<&'static str> {
    forum.run(statements).await;
    let Some(batch) = page(reader).await else { return Vec::new() };
    assert!(batch.poison.is_empty(), "{:?}", batch.poison);
    let mut names = Vec::new();
    for entry in &batch.entries {
        for told in tell(&entry.change, &batch.rows) {
            match told {
                Told::Event { event, .. } => names.push(event.name()),
                Told::Count(count) => names.extend(count.events().iter().map(|(_, event)| event.name())),
            }
        }
    }
    names
}

#[tokio::test]
async fn each_statement_of_the_forum_gives_exactly_its_events() {
    let forum = Forum::captured().await;
    let mut reader = OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position");
    let cases: &[(&str, &[&str])] = &[
        (
            "BEGIN; INSERT INTO votes (user_id, post_id) VALUES ('bo', 1);
             UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 1 RETURNING upvote_count; COMMIT",
            &["post:voteAdded", "post:voteChanged"],
        ),
        (
            "BEGIN; DELETE FROM votes WHERE user_id = 'bo' AND post_id = 1;
             UPDATE posts SET upvote_count = GREATEST(0, upvote_count - 1) WHERE id = 1; COMMIT",
            &["post:voteRemoved", "post:voteChanged"],
        ),
        (
            "BEGIN; INSERT INTO votes (user_id, post_id) VALUES ('bo', 1);
             UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 1; ROLLBACK",
            &[],
        ),
        ("UPDATE posts SET upvote_count = 7 WHERE id = 2", &["post:voteChanged"]),
        (
            "BEGIN; INSERT INTO comments (post_id, author_user_id, parent_comment_id, content)
             VALUES (1, 'ada', 1, 'Thanks, @{\"id\":\"cy\",\"label\":\"Cy\"} asked too') RETURNING *;
             UPDATE posts SET comment_count = comment_count + 1 WHERE id = 1; COMMIT",
            &["post:newComment", "notification:new", "notification:new", "post:commentCountChanged"],
        ),
        ("UPDATE comments SET content = 'At seven.' WHERE id = 1", &["post:commentUpdated"]),
        ("DELETE FROM comments WHERE id = 1", &["post:commentDeleted", "post:commentDeleted"]),
        (
            "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'New', '', 1)",
            &["board:newPost"],
        ),
        ("UPDATE posts SET title = 'Ebb', tags = '{sea}' WHERE id = 1", &["board:postUpdated"]),
        ("UPDATE posts SET lock_id = 3, settings = '{\"a\": 1}' WHERE id = 1", &["board:postUpdated"]),
        ("UPDATE posts SET board_id = 2, updated_at = NOW() WHERE id = 1", &["board:postDeleted", "board:newPost"]),
        ("DELETE FROM posts WHERE id = 1", &["board:postDeleted"]),
        ("INSERT INTO boards (id, community_id, name) VALUES (9, 'c1', 'Deep')", &["board:created"]),
        (
            "UPDATE boards SET name = COALESCE(NULL, name), settings = '{\"permissions\": {\"allowedRoles\": [\"x\"]}}'
             WHERE id = 9",
            &["board:settingsChanged"],
        ),
        ("DELETE FROM boards WHERE id = 9", &["board:deleted"]),
        (
            "UPDATE communities SET settings = '{\"realtime\": {\"votes\": false}}' WHERE id = 'c1'",
            &["community:settingsChanged"],
        ),
        (
            "INSERT INTO users (user_id, name) VALUES ('ada', 'Ada L.')
             ON CONFLICT (user_id) DO UPDATE SET name = EXCLUDED.name, updated_at = NOW();
             INSERT INTO communities (id, name) VALUES ('c1', 'Reef!')
             ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, logo_url = 'l', updated_at = NOW()",
            &[],
        ),
        ("UPDATE posts SET embedding = NULL, updated_at = NOW() WHERE id = 2", &[]),
        ("UPDATE comments SET embedding = NULL, updated_at = NOW()", &[]),
        // To its own people, who may have come before.
        (
            "INSERT INTO communities (id, name) VALUES ('c3', 'Delta') ON CONFLICT (id) DO UPDATE SET name = 'Silt'",
            &["community:settingsChanged"],
        ),
        ("DELETE FROM communities WHERE id = 'c2'", &["board:deleted"]),
        // His post goes with him; that he goes is told to his own sockets.
        ("DELETE FROM users WHERE user_id = 'cy'", &["board:postDeleted"]),
    ];
    for (statements, expected) in cases {
        assert_eq!(told(&forum, &mut reader, statements).await, *expected, "{statements}");
    }
}

#[tokio::test]
async fn an_import_and_its_undoing_give_a_fence_and_no_event_of_their_own() {
    const IMPORT: &str = "INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id)
        VALUES (3, 'c2', 'c1', 'ada')
        ON CONFLICT (importing_community_id, source_board_id)
        DO UPDATE SET is_active = true, imported_by_user_id = EXCLUDED.imported_by_user_id";
    const UNDO: &str =
        "UPDATE imported_boards SET is_active = false WHERE source_board_id = 3 AND importing_community_id = 'c1'";
    let forum = Forum::captured().await;
    let mut reader = OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position");
    // What it was before; nothing where a statement changes nothing.
    for (statement, was) in
        [(IMPORT, Some(false)), (IMPORT, None), (UNDO, Some(true)), (UNDO, None), (IMPORT, Some(false))]
    {
        forum.run(statement).await;
        let Some(batch) = page(&mut reader).await else {
            assert_eq!(was, None, "{statement}");
            continue;
        };
        let expected = Change::ImportChanged {
            board: BoardId(3),
            community: "c1".into(),
            active_was: was.expect("nothing, since nothing changed"),
            with_board: false,
        };
        assert_eq!(batch.fence.changes, [(1, expected.clone())], "{statement}");
        assert!(
            batch.entries.iter().all(|entry| entry.change == expected && tell(&entry.change, &batch.rows).is_empty())
        );
        let importers = &batch.fence.rows.board_facts(BoardId(3)).expect("the board").importers;
        assert_eq!(importers.contains(&"c1".into()), was == Some(false), "{statement}");
    }
}

#[tokio::test]
async fn deleting_a_post_with_1000_comments_and_1000_votes_is_one_event() {
    let forum = Forum::captured().await;
    forum
        .run(
            "INSERT INTO users (user_id, name) SELECT 'u' || n, 'U' FROM generate_series(1, 1000) AS n;
             INSERT INTO votes (user_id, post_id) SELECT 'u' || n, 2 FROM generate_series(1, 1000) AS n;
             INSERT INTO comments (post_id, author_user_id, content) SELECT 2, 'ada', 'c' FROM generate_series(1, 1000)",
        )
        .await;
    let mut reader = OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position");
    assert!(!pages(&mut reader).await.is_empty(), "what came before");
    assert_eq!(told(&forum, &mut reader, "DELETE FROM posts WHERE id = 2").await, ["board:postDeleted"]);
}

#[tokio::test]
async fn a_multi_row_insert_of_500_comments_arrives_complete_and_in_order() {
    let forum = Forum::captured().await;
    let mut reader = OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position");
    forum
        .run(
            "INSERT INTO comments (id, post_id, author_user_id, content)
             SELECT n, 2, 'bo', 'c' || n FROM generate_series(1001, 1500) AS n",
        )
        .await;
    let batch = page(&mut reader).await.expect("a batch");
    let mut contents = Vec::new();
    for entry in &batch.entries {
        for told in tell(&entry.change, &batch.rows) {
            if let Told::Event { event, .. } = told {
                let payload: serde_json::Value =
                    serde_json::from_str(event.encode().expect("JSON").get()).expect("JSON");
                contents.push(payload["comment"]["id"].as_i64().expect("an id"));
            }
        }
    }
    assert_eq!(contents, (1001..=1500).collect::<Vec<i64>>());
}

#[tokio::test]
async fn down_leaves_the_database_as_it_was() {
    let forum = Forum::bare().await;
    let before = forum.schema();
    forum.migrate(".up.sql");
    assert_ne!(forum.schema(), before);
    forum.migrate(".down.sql");
    assert_eq!(forum.schema(), before);
}

#[tokio::test]
async fn a_role_that_may_only_write_the_forums_tables_still_writes_them() {
    let forum = Forum::captured().await;
    forum
        .run(
            "CREATE ROLE only_the_forum;
             GRANT SELECT, INSERT, UPDATE, DELETE ON posts, votes, comments, boards, communities, imported_boards, users
                 TO only_the_forum;
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO only_the_forum",
        )
        .await;
    let mut reader = OutboxReader::open(forum.pool.clone(), CONTENT_LIMIT).await.expect("a position");
    let names = told(
        &forum,
        &mut reader,
        "BEGIN; SET LOCAL ROLE only_the_forum;
         INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'New', '', 1);
         INSERT INTO votes (user_id, post_id) VALUES ('bo', 1);
         UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = 1;
         DELETE FROM comments WHERE id = 1; DELETE FROM posts WHERE id = 2; COMMIT",
    )
    .await;
    assert_eq!(
        names,
        ["board:newPost", "post:voteAdded", "post:voteChanged", "post:commentDeleted", "board:postDeleted"]
    );
    forum.run("DROP OWNED BY only_the_forum; DROP ROLE only_the_forum").await;
}

/// A schema that the writer puts before all others, with everything in it that a trigger could reach by a bare name: functions and
/// operators that fail, and an outbox of its own.
const PLANTED: &str = "
    ALTER FUNCTION request_embedding() SET search_path = pg_catalog; -- The forum's own, which is not meant.
    CREATE SCHEMA planted;
    GRANT USAGE ON SCHEMA planted TO PUBLIC;
    CREATE TABLE planted.outbox (LIKE curia_realtime.outbox);
    GRANT INSERT ON planted.outbox TO PUBLIC;
    CREATE DOMAIN planted.text AS pg_catalog.text CHECK (false);
    CREATE FUNCTION planted.set_config(pg_catalog.text, pg_catalog.text, boolean) RETURNS pg_catalog.text
        LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
    CREATE FUNCTION planted.current_setting(pg_catalog.text, boolean) RETURNS pg_catalog.text
        LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
    CREATE FUNCTION planted.pg_try_advisory_xact_lock_shared(integer, integer) RETURNS boolean
        LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
    CREATE FUNCTION planted.pg_notify(pg_catalog.text, pg_catalog.text) RETURNS void
        LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
    CREATE FUNCTION planted.texteq(pg_catalog.text, pg_catalog.text) RETURNS boolean
        LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
    CREATE FUNCTION planted.of_numbers(integer, integer) RETURNS boolean
        LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
    CREATE OPERATOR planted.= (FUNCTION = planted.texteq, LEFTARG = pg_catalog.text, RIGHTARG = pg_catalog.text);
    CREATE OPERATOR planted.= (FUNCTION = planted.of_numbers, LEFTARG = integer, RIGHTARG = integer)";

#[tokio::test]
async fn nothing_that_a_writer_plants_before_the_systems_names_is_reached_from_a_trigger() {
    let forum = Forum::captured().await;
    forum.run(PLANTED).await;
    // A listener sleeps, so the triggers have to ring, too.
    let mut sleeper = forum.pool.acquire().await.expect("a connection");
    sqlx::query("SELECT pg_advisory_lock(1129665097, 1)").execute(&mut *sleeper).await.expect("the lock");
    // Operators of the statements themselves are named.
    forum
        .run(
            "BEGIN; CREATE TEMP TABLE outbox (LIKE curia_realtime.outbox) ON COMMIT DROP;
             SET LOCAL search_path = pg_temp, planted, pg_catalog, public;
             INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'New', '', 1);
             INSERT INTO votes (user_id, post_id) VALUES ('bo', 1);
             UPDATE posts SET upvote_count = upvote_count + 1 WHERE id OPERATOR(pg_catalog.=) 1;
             INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'bo', 'Mine');
             UPDATE posts SET comment_count = comment_count + 1 WHERE id OPERATOR(pg_catalog.=) 1;
             UPDATE posts SET upvote_count = upvote_count + 1, comment_count = comment_count + 1
                 WHERE id OPERATOR(pg_catalog.=) 2;
             UPDATE posts SET upvote_count = upvote_count, comment_count = comment_count
                 WHERE id OPERATOR(pg_catalog.=) 2;
             DELETE FROM votes WHERE post_id OPERATOR(pg_catalog.=) 1;
             DELETE FROM comments WHERE id OPERATOR(pg_catalog.=) 1;
             DELETE FROM posts WHERE id OPERATOR(pg_catalog.=) 101;
             UPDATE boards SET name = 'Other' WHERE id OPERATOR(pg_catalog.=) 1;
             DO $$ BEGIN
                 IF EXISTS (SELECT FROM pg_temp.outbox) OR EXISTS (SELECT FROM planted.outbox) THEN RAISE 'led elsewhere'; END IF;
             END $$; COMMIT",
        )
        .await;
    let kinds = sqlx::query_scalar::<_, String>("SELECT kind FROM curia_realtime.outbox ORDER BY seq");
    let kinds = kinds.fetch_all(&forum.pool).await.expect("the outbox");
    assert_eq!(
        kinds,
        [
            "post_created",
            "vote_added",
            "comment_created",
            "post_counted",
            "post_counted",
            "vote_removed",
            "comment_deleted",
            "post_deleted",
            "board_updated"
        ]
    );
}

/// Their bodies were looked through for names and operators that a `search_path` could lead elsewhere.
#[tokio::test]
async fn the_search_path_of_every_trigger_function_is_pinned_but_of_four() {
    let forum = Forum::captured().await;
    let loose = sqlx::query_scalar::<_, String>(
        "SELECT proname::text FROM pg_proc
         WHERE pronamespace = 'curia_realtime'::regnamespace AND prosecdef
           AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)
         ORDER BY proname",
    );
    let loose = loose.fetch_all(&forum.pool).await.expect("the functions");
    assert_eq!(loose, ["comment_created", "post_comments_counted", "post_upvotes_counted", "vote_added"]);
}
