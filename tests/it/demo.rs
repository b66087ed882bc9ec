//! The newcomer's demo: its forum is whole, keeps closed boards closed, and stays busy until it is told to stop.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use curia_realtime::demo::{self, DemoError, DemoState};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::support::postgres::Forum;

/// A forum with the demo's content, and its REST API.
async fn installed() -> (Forum, Router) {
    let forum = Forum::empty().await;
    demo::install(&forum.pool).await.expect("the demo's forum");
    let mint: demo::Mint = Arc::new(|person| Ok(format!("token of {}", person.user_id)));
    let router = demo::router(DemoState { pool: forum.pool.clone(), mint });
    (forum, router)
}

async fn ask(router: &Router, person: &str, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/demo/api{path}"))
        .header("x-demo-user", person)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
        .expect("a request");
    let response = router.clone().call(request).await.expect("an answer");
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, serde_json::from_slice(&bytes).expect("every answer is JSON"))
}

#[tokio::test]
async fn it_is_installed_whole_and_only_into_an_empty_database() {
    let (forum, _) = installed().await;
    let off: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM posts p
         WHERE upvote_count <> (SELECT COUNT(*) FROM votes WHERE post_id = p.id)
            OR comment_count <> (SELECT COUNT(*) FROM comments WHERE post_id = p.id)",
    )
    .fetch_one(&forum.pool)
    .await
    .expect("counts");
    assert_eq!(off, 0, "every counter says what is there");

    assert!(matches!(demo::install(&forum.pool).await, Err(DemoError::NotEmpty)));
}

#[tokio::test]
async fn the_root_leads_to_the_page() {
    let (_forum, router) = installed().await;
    let request = Request::builder().uri("/").body(Body::empty()).expect("a request");
    let answer = router.clone().call(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.headers()[header::LOCATION], "/demo");
}

#[tokio::test]
async fn a_closed_board_is_listed_and_not_read() {
    let (_forum, router) = installed().await;
    let (_, listed) = ask(&router, "eero", Method::GET, "/boards", None).await;
    let boards = listed["boards"].as_array().expect("boards");
    let closed = boards.iter().find(|board| board["open"] == false).expect("a board that is closed to Eero");
    assert!(closed.get("allowed_roles").is_none(), "settings are for admins");

    let posts = format!("/boards/{}/posts", closed["id"]);
    let (status, refusal) = ask(&router, "eero", Method::GET, &posts, None).await;
    assert_eq!((status, &refusal["error"]["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
    let (status, _) = ask(&router, "ada", Method::GET, &posts, None).await;
    assert_eq!(status, StatusCode::OK, "an admin enters");
    let (status, refusal) = ask(&router, "juno", Method::GET, &posts, None).await;
    assert_eq!(
        (status, &refusal["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("not_found")),
        "another community is not told that it exists"
    );
}

#[tokio::test]
async fn a_changed_list_of_roles_counts_at_once() {
    let (_forum, router) = installed().await;
    let closed = Some(json!({ "allowed_roles": ["keyholder"] }));
    let (status, _) = ask(&router, "chidi", Method::PATCH, "/boards/1", closed.clone()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "only an admin changes a board");
    let (status, _) = ask(&router, "ada", Method::PATCH, "/boards/1", closed).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = ask(&router, "chidi", Method::GET, "/boards/1/posts", None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = ask(&router, "bruno", Method::GET, "/boards/1/posts", None).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_second_vote_is_refused_and_counted_once() {
    let (forum, router) = installed().await;
    let post = json!({ "title": "A post", "content": "With words in it." });
    let (_, written) = ask(&router, "chidi", Method::POST, "/boards/1/posts", Some(post)).await;
    let vote = format!("/posts/{}/vote", written["post_id"]);
    let (_, first) = ask(&router, "bruno", Method::PUT, &vote, None).await;
    assert_eq!(first["upvote_count"], 1);
    let (status, second) = ask(&router, "bruno", Method::PUT, &vote, None).await;
    assert_eq!((status, &second["error"]["code"]), (StatusCode::CONFLICT, &json!("vote_unchanged")));
    let count: i32 = sqlx::query_scalar("SELECT upvote_count FROM posts ORDER BY id DESC LIMIT 1")
        .fetch_one(&forum.pool)
        .await
        .expect("the post");
    assert_eq!(count, 1, "the refused vote was rolled back whole");
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_in_words() {
    let (_forum, router) = installed().await;
    for body in [
        json!({ "title": "No text" }),
        json!({ "title": "", "content": "No title" }),
        json!({ "title": "A NUL\0", "content": "in the title" }),
        json!({ "title": "x".repeat(256), "content": "too long" }),
        json!({ "title": 7, "content": "a number" }),
        json!(null),
    ] {
        let (status, answer) = ask(&router, "chidi", Method::POST, "/boards/1/posts", Some(body.clone())).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_payload")), "{body}");
    }
    let (status, _) = ask(&router, "nobody", Method::GET, "/boards", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, _) = ask(&router, "chidi", Method::GET, "/posts/2147483648/comments", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_crowd_writes_until_it_is_told_to_stop() {
    let (forum, _) = installed().await;
    // The forum itself asks its embedding worker for work with every new text: the sign that somebody wrote.
    let mut written = PgListener::connect_with(&forum.pool).await.expect("a listener");
    written.listen("embedding_requests").await.expect("listening");
    let cancel = CancellationToken::new();
    let crowd = tokio::spawn(demo::simulate(forum.pool.clone(), cancel.clone()));
    tokio::time::timeout(Duration::from_secs(60), written.recv()).await.expect("the crowd writes").expect("a notice");
    cancel.cancel();
    crowd.await.expect("the crowd ends").expect("and without an error");
}
