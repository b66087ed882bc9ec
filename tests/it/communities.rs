//! A community that begins, ends, and begins again while its people are connected: an import outlives it, and any sign-in makes its row again.

use serde_json::{Value, json};

use crate::support::{client::Client, postgres::Forum, service::Service};

const IMPORT: &str =
    "INSERT INTO imported_boards (source_board_id, source_community_id, importing_community_id, imported_by_user_id)
    VALUES (1, 'c1', 'c2', 'bo')";
const END: &str = "DELETE FROM communities WHERE id = 'c2'";
/// As the forum does it when somebody signs in.
const BEGIN: &str = "INSERT INTO communities (id, name) VALUES ('c2', 'Dunes')
    ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, updated_at = NOW()";
const COMMENT: &str = "INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'Unheard')";

async fn of(service: &Service, user: &str, community: &str) -> Client {
    Client::connected(&service.url, &Service::token(user, community, &[], false), "websocket").await
}

async fn hears(client: &mut Client, event: &str, payload: Value) {
    let happened = client.next().await;
    assert_eq!((&happened[0], &happened[1]), (&json!(event), &payload), "{happened}");
}

async fn hears_of(client: &mut Client, event: &str, at: &str, value: Value) {
    let happened = client.next().await;
    assert_eq!((&happened[0], happened[1].pointer(at)), (&json!(event), Some(&value)), "{happened}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_community_ends_is_told_and_shown_nothing_of_that_time_when_it_is_back() {
    let forum = Forum::captured().await;
    forum.run(IMPORT).await;
    let service = Service::start(&forum.url()).await;
    let mut ada = of(&service, "ada", "c1").await;
    let mut bo = of(&service, "bo", "c2").await;
    assert_eq!(ada.ask("post:join", json!(1)).await["ok"], json!(true));
    for (event, id) in [("board:join", 1), ("board:join", 3), ("post:join", 1)] {
        assert_eq!(bo.ask(event, json!(id)).await["ok"], json!(true));
    }
    let cursor = bo.ask("board:join", json!(1)).await["cursor"].clone();

    forum.run(END).await;
    // Its own board ends with it, of the other he is put out.
    let (one, other) = (bo.next().await, bo.next().await);
    let mut told = [(&one[0], &one[1]), (&other[0], &other[1])];
    told.sort_by_key(|(name, _)| name.as_str().map(str::to_owned));
    let revoked = json!({"boardId": 1, "reason": "community_roles"});
    let deleted = json!({"boardId": 3});
    assert_eq!(told, [(&json!("board:accessRevoked"), &revoked), (&json!("board:deleted"), &deleted)]);
    forum.run(COMMENT).await;
    hears_of(&mut ada, "post:newComment", "/comment/content", json!("Unheard")).await;
    for (event, id) in [("board:join", 1), ("post:join", 1)] {
        assert_eq!(bo.ask(event, json!(id)).await["error"]["code"], json!("forbidden"));
    }
    assert_eq!(bo.ask("board:join", json!(3)).await["error"]["code"], json!("not_found"));

    // Once as an INSERT, once more as an UPDATE of the same row, of which nothing comes.
    for _ in 0..2 {
        forum.run(BEGIN).await;
    }
    hears_of(&mut bo, "community:settingsChanged", "/communityId", json!("c2")).await;
    hears(&mut bo, "board:accessGranted", json!({"boardId": 1})).await;
    for event in ["board:join", "post:join"] {
        let argument = json!({"boardId": 1, "postId": 1, "since": cursor});
        let answer = bo.ask(event, argument).await;
        assert_eq!((&answer["ok"], &answer["recovered"]), (&json!(true), &json!(false)), "{answer}");
    }
    // Nor by a node that has to read all of it in the outbox.
    let other = Service::start(&forum.url()).await;
    let mut there = of(&other, "bo", "c2").await;
    let answer = there.ask("board:join", json!({"boardId": 1, "since": cursor})).await;
    assert_eq!((&answer["ok"], &answer["recovered"]), (&json!(true), &json!(false)), "{answer}");
    drop(there);
    other.stop().await;
    // What is his goes on through whatever the board goes through.
    forum.run("UPDATE boards SET name = 'General 2' WHERE id = 1").await;
    hears_of(&mut bo, "board:settingsChanged", "/board/name", json!("General 2")).await;
    forum.run("INSERT INTO comments (post_id, author_user_id, content) VALUES (1, 'cy', 'Heard')").await;
    hears_of(&mut bo, "post:newComment", "/comment/content", json!("Heard")).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flags_of_a_community_that_is_back_are_heeded() {
    let forum = Forum::captured().await;
    forum.run(IMPORT).await;
    let service = Service::start(&forum.url()).await;
    let mut bo = of(&service, "bo", "c2").await;
    assert_eq!(bo.ask("post:join", json!(1)).await["ok"], json!(true));
    forum.run(END).await;
    hears_of(&mut bo, "board:accessRevoked", "/boardId", json!(1)).await;
    forum.run(BEGIN).await;
    hears_of(&mut bo, "community:settingsChanged", "/features/comments", json!(true)).await;
    hears(&mut bo, "board:accessGranted", json!({"boardId": 1})).await;
    assert_eq!(bo.ask("post:join", json!(1)).await["ok"], json!(true));
    forum.run(r#"UPDATE communities SET settings = '{"realtime": {"comments": false}}' WHERE id = 'c2'"#).await;
    hears_of(&mut bo, "community:settingsChanged", "/features/comments", json!(false)).await;
    forum.run(COMMENT).await;
    forum.run("UPDATE posts SET title = 'Neap' WHERE id = 1").await;
    hears_of(&mut bo, "board:postUpdated", "/post/title", json!("Neap")).await;
    // What he is told of a community that begins is what holds from then on.
    forum.run(END).await;
    hears_of(&mut bo, "board:accessRevoked", "/boardId", json!(1)).await;
    forum.run(r#"INSERT INTO communities (id, name, settings) VALUES ('c2', 'Dunes', '{"realtime": {"enabled": false}}')"#).await;
    hears_of(&mut bo, "community:settingsChanged", "/features/enabled", json!(false)).await;
    assert_eq!(bo.ask("board:join", json!(1)).await["error"]["code"], json!("feature_disabled"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_came_before_his_community_sees_its_boards_as_they_come() {
    let forum = Forum::captured().await;
    let service = Service::start(&forum.url()).await;
    let mut dee = of(&service, "dee", "c9").await;
    assert_eq!(dee.ask("feed:join", json!({})).await["boardIds"], json!([]));
    forum.run("INSERT INTO communities (id, name) VALUES ('c9', 'Shoal')").await;
    hears_of(&mut dee, "community:settingsChanged", "/communityId", json!("c9")).await;
    forum.run("INSERT INTO boards (id, community_id, name) VALUES (90, 'c9', 'Shallows')").await;
    hears_of(&mut dee, "board:created", "/board/id", json!(90)).await;
    let post = "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ('cy', 'Ebb', '', 90)";
    forum.run(post).await;
    hears_of(&mut dee, "board:newPost", "/post/title", json!("Ebb")).await;
    forum.run("UPDATE boards SET description = 'Low water' WHERE id = 90").await;
    hears_of(&mut dee, "board:settingsChanged", "/board/description", json!("Low water")).await;
    forum.run(post).await;
    hears_of(&mut dee, "board:newPost", "/post/title", json!("Ebb")).await;
    service.stop().await;
}
