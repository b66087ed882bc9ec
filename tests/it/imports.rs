//! A board lent to another community, and taken back: who is let in, who is shut out, who hears nothing.

use serde_json::json;

use crate::support::{client::Client, postgres::Forum, service::Service};

/// As the forum imports, for the first time or again.
const IMPORT: &str =
    "INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id)
    VALUES (3, 'c2', 'c1', 'ada')
    ON CONFLICT (importing_community_id, source_board_id)
    DO UPDATE SET is_active = true, imported_by_user_id = EXCLUDED.imported_by_user_id";
const UNDO: &str =
    "UPDATE imported_boards SET is_active = false WHERE source_board_id = 3 AND importing_community_id = 'c1'";
/// A post in the lent board.
const POST: &str = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Dune', '', 3)";
/// One in a board of its own for each of the three communities: all that is committed before them has been told when they come.
const ELSEWHERE: &str = "INSERT INTO posts (author_user_id, title, content, board_id)
    VALUES ('cy', 'Elsewhere', '', 1), ('cy', 'Elsewhere', '', 4), ('cy', 'Elsewhere', '', 5)";

async fn feed(service: &Service, user: &str, community: &str, boards: &[i32]) -> Client {
    let mut client = Client::connected(&service.url, &Service::token(user, community, &[], false), "websocket").await;
    assert_eq!(client.ask("feed:join", json!({})).await["boardIds"], json!(boards));
    client
}

async fn hears(client: &mut Client, event: &str, payload: serde_json::Value) {
    let happened = client.next().await;
    assert_eq!((&happened[0], &happened[1]), (&json!(event), &payload), "{happened}");
}

async fn hears_post(client: &mut Client, title: &str) {
    let happened = client.next().await;
    assert_eq!((&happened[0], &happened[1]["post"]["title"]), (&json!("board:newPost"), &json!(title)), "{happened}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_lets_the_importing_community_in_and_its_undoing_shuts_it_out() {
    let forum = Forum::captured().await;
    forum
        .run(
            "INSERT INTO communities (id, name) VALUES ('c3', 'Delta');
             INSERT INTO boards (id, community_id, name) VALUES (4, 'c2', 'Dunes'), (5, 'c3', 'Silt')",
        )
        .await;
    let service = Service::start(&forum.url()).await;
    let mut importer = feed(&service, "ada", "c1", &[1, 2]).await;
    let mut owner = feed(&service, "cy", "c2", &[3, 4]).await;
    let mut stranger = feed(&service, "bo", "c3", &[5]).await;
    assert_eq!(importer.ask("board:join", json!(3)).await["error"]["code"], "not_found");

    // Once as an INSERT, once more as an UPDATE of the same row.
    for _ in 0..2 {
        forum.run(IMPORT).await;
        forum.run(POST).await;
        forum.run(ELSEWHERE).await;
        hears(&mut importer, "board:accessGranted", json!({"boardId": 3})).await;
        for title in ["Dune", "Elsewhere"] {
            hears_post(&mut importer, title).await;
            hears_post(&mut owner, title).await;
        }
        hears_post(&mut stranger, "Elsewhere").await;
        assert_eq!(importer.ask("board:join", json!(3)).await["ok"], json!(true));

        forum.run(UNDO).await;
        forum.run(POST).await;
        forum.run(ELSEWHERE).await;
        hears(&mut importer, "board:accessRevoked", json!({"boardId": 3, "reason": "import"})).await;
        hears_post(&mut importer, "Elsewhere").await;
        hears_post(&mut owner, "Dune").await;
        hears_post(&mut owner, "Elsewhere").await;
        hears_post(&mut stranger, "Elsewhere").await;
        assert_eq!(importer.ask("board:join", json!(3)).await["error"]["code"], "not_found");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sits_in_a_lent_board_is_told_of_its_end() {
    let forum = Forum::captured().await;
    forum.run(IMPORT).await;
    let service = Service::start(&forum.url()).await;
    let mut importer = feed(&service, "ada", "c1", &[1, 2, 3]).await;
    let mut owner = feed(&service, "cy", "c2", &[3]).await;
    // With a post in it.
    forum.run(POST).await;
    for client in [&mut importer, &mut owner] {
        hears_post(client, "Dune").await;
    }
    forum.run("DELETE FROM boards WHERE id = 3").await;
    for client in [&mut importer, &mut owner] {
        hears(client, "board:deleted", json!({"boardId": 3})).await;
    }
    service.stop().await;
}

/// The `settings` of the board in the next event, which has to be of this name.
async fn settings_in(client: &mut Client, event: &str) -> serde_json::Value {
    let happened = client.next().await;
    assert_eq!(happened[0], json!(event), "{happened}");
    happened[1]["board"].get("settings").cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_of_a_lent_board_go_to_the_admins_of_its_own_community_alone() {
    let forum = Forum::captured().await;
    forum.run(IMPORT).await;
    let service = Service::start(&forum.url()).await;
    let locked = json!({"permissions": {"locks": [{"id": 7}]}});
    // The last two may see them.
    let tokens =
        [("ada", "c1", true), ("bo", "c1", false), ("cy", "c2", false), ("di", "c2", true), ("ed", "c2", true)]
            .map(|(user, community, admin)| Service::token(user, community, &[], admin));
    let mut people = Vec::new();
    for token in &tokens {
        let mut client = Client::connected(&service.url, token, "websocket").await;
        assert_eq!(client.ask("feed:join", json!({})).await["ok"], json!(true));
        people.push(client);
    }
    let since = people[0].ask("board:join", json!(3)).await["cursor"].clone();
    sqlx::query("UPDATE boards SET settings = $1 WHERE id = 3").bind(&locked).execute(&forum.pool).await.expect("set");
    sqlx::query(
        "WITH made AS (INSERT INTO boards (community_id, name, settings) VALUES ('c2', 'Dunes', $1) RETURNING id)
         INSERT INTO imported_boards
             (source_board_id, source_community_id, importing_community_id, imported_by_user_id)
         SELECT id, 'c2', 'c1', 'ada' FROM made",
    )
    .bind(&locked)
    .execute(&forum.pool)
    .await
    .expect("made");
    for (nth, client) in people.iter_mut().enumerate() {
        let shown = if nth < 3 { json!(null) } else { locked.clone() };
        for event in ["board:settingsChanged", "board:created"] {
            assert_eq!(settings_in(client, event).await, shown, "{event} to {nth}");
        }
    }
    // Nor by coming back.
    for (nth, token) in tokens.iter().enumerate() {
        let mut client = Client::connected(&service.url, token, "websocket").await;
        client.emit("board:join", json!({"boardId": 3, "since": since})).await;
        let shown = if nth < 3 { json!(null) } else { locked.clone() };
        assert_eq!(settings_in(&mut client, "board:settingsChanged").await, shown, "replayed to {nth}");
        assert_eq!(client.next().await[2]["recovered"], json!(true));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lent_board_that_belongs_to_nobody_stays_open_to_whoever_imports_it() {
    let forum = Forum::captured().await;
    forum.run(IMPORT).await;
    forum.run("INSERT INTO posts (id, author_user_id, title, content, board_id) VALUES (31, 'cy', 'Dry', '', 3)").await;
    let service = Service::start(&forum.url()).await;
    let mut importer = feed(&service, "ada", "c1", &[1, 2, 3]).await;
    let mut reader = Client::connected(&service.url, &Service::token("bo", "c1", &[], false), "websocket").await;
    assert_eq!(reader.ask("post:join", json!(31)).await["ok"], json!(true));
    let mut owner = Client::connected(&service.url, &Service::token("cy", "c2", &[], false), "websocket").await;
    assert_eq!(owner.ask("board:join", json!(3)).await["ok"], json!(true));

    forum.run("UPDATE boards SET community_id = NULL WHERE id = 3").await;
    hears(&mut owner, "board:accessRevoked", json!({"boardId": 3, "reason": "import"})).await;
    assert_eq!(owner.ask("board:join", json!(3)).await["error"]["code"], "not_found");
    forum.run("UPDATE posts SET title = 'Dryer' WHERE id = 31").await;
    for client in [&mut importer, &mut reader] {
        let happened = client.next().await;
        assert_eq!((&happened[0], &happened[1]["post"]["title"]), (&json!("board:postUpdated"), &json!("Dryer")));
    }
    assert_eq!(reader.ask("post:join", json!(31)).await["ok"], json!(true));
    assert_eq!(reader.ask("board:join", json!(3)).await["ok"], json!(true));
    assert_eq!(importer.ask("feed:join", json!({})).await["boardIds"], json!([1, 2, 3]));
    forum.run("UPDATE boards SET name = 'Adrift' WHERE id = 3").await;
    forum.run(POST).await;
    for client in [&mut importer, &mut reader] {
        let happened = client.next().await;
        let of_board = &happened[1]["board"];
        assert_eq!((&of_board["name"], &of_board["community_id"]), (&json!("Adrift"), &json!(null)), "{happened}");
        hears_post(client, "Dune").await;
    }

    // The import ends: then it is nobody's. And so it goes on being told to nobody until it is somebody's again.
    forum.run(UNDO).await;
    for client in [&mut importer, &mut reader] {
        hears(client, "board:accessRevoked", json!({"boardId": 3, "reason": "import"})).await;
        assert_eq!(client.ask("post:join", json!(31)).await["error"]["code"], "not_found");
    }
    assert_eq!(importer.ask("feed:join", json!({})).await["boardIds"], json!([1, 2]));
    forum.run("UPDATE boards SET community_id = 'c2' WHERE id = 3").await;
    hears(&mut owner, "board:accessGranted", json!({"boardId": 3})).await;
    assert_eq!(owner.ask("board:join", json!(3)).await["ok"], json!(true));
    service.stop().await;
}
