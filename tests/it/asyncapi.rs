//! `docs/asyncapi.json` says what is really sent and taken. What the test clients receive is held against it too, see
//! `tests/browser/client.mjs`; here is what no test happens to send.

use std::process::Stdio;

use chrono::DateTime;
use curia_realtime::{
    command::Command,
    contract::{
        AccessGranted, AccessRevoked, Board, BoardChanged, BoardCreated, BoardGone, BoardPresence, Comment,
        CommentDeleted, CommentEvent, CommunityChanged, Draining, Empty, ErrorCode, ErrorEvent, Failure, Features,
        NewPost, Notification, NotificationKind, Person, Post, PostColumn, PostCount, PostDeleted, PostUpdated,
        RevokeReason, ServerEvent, SessionExpiring, SessionReady, TypingEvent, UserOffline, UserOnline,
        commands::COMMANDS,
    },
    ids::{BoardId, CommentId, PostId},
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

/// For each path of the document and value, why the value is not what stands there. The document itself is checked on the way.
async fn flaws(asked: &[(String, Value)]) -> Vec<Option<String>> {
    let mut check = tokio::process::Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/check-contract.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node, and `npm ci` in tests/browser; `cargo xtask test` sees to both");
    let mut input = check.stdin.take().expect("piped");
    let lines: String = asked.iter().map(|asked| format!("{}\n", json!(asked))).collect();
    // Its answers are shorter than what a pipe holds, but they need not be.
    let writing = tokio::spawn(async move { input.write_all(lines.as_bytes()).await });
    let output = check.wait_with_output().await.expect("an end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    writing.await.expect("no panic").expect("its input");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let flaws: Vec<_> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(flaws.len(), asked.len());
    flaws
}

fn schema(name: &str) -> String {
    format!("/components/schemas/{name}")
}

fn person(full: bool) -> Person {
    let some = |text: &str| full.then(|| text.to_owned());
    Person { user_id: "ada".into(), name: some("Ada"), profile_picture_url: some("/ada.png") }
}

/// A row with everything in it, or with as little as there can be.
fn post(full: bool) -> Post {
    let some = |text: &str| full.then(|| text.to_owned());
    let at = full.then_some(DateTime::UNIX_EPOCH);
    Post {
        id: PostId(1),
        author_user_id: full.then(|| "ada".into()),
        title: some("Tides"),
        content: some("When is low water?"),
        content_truncated: full,
        tags: full.then(|| vec!["sea".to_owned()]),
        upvote_count: i32::MAX,
        comment_count: 0,
        board_id: full.then_some(BoardId(1)),
        lock_id: full.then_some(3),
        created_at: at,
        updated_at: at,
    }
}

fn comment(full: bool) -> Comment {
    let at = full.then_some(DateTime::UNIX_EPOCH);
    Comment {
        id: CommentId(1),
        post_id: PostId(1),
        author_user_id: full.then(|| "ada".into()),
        parent_comment_id: full.then_some(CommentId(1)),
        content: full.then(|| "At six.".to_owned()),
        content_truncated: full,
        created_at: at,
        updated_at: at,
    }
}

fn board(full: bool) -> Board {
    let some = |text: &str| full.then(|| text.to_owned());
    let at = full.then_some(DateTime::UNIX_EPOCH);
    Board {
        id: BoardId(1),
        community_id: full.then(|| "c1".into()),
        name: some("General"),
        description: some("All of it"),
        settings: full.then(|| json!({"permissions": {"allowedRoles": []}})),
        created_at: at,
        updated_at: at,
    }
}

/// Each event of the contract once, in its order.
fn events(full: bool) -> Vec<ServerEvent> {
    let (post_id, board_id, comment_id) = (PostId(1), BoardId(1), CommentId(1));
    let count = PostCount { post_id, board_id, new_count: -1 };
    let author = full.then(|| person(false));
    let of_comment = CommentEvent { comment: comment(full), author: author.clone(), post_id, board_id };
    let features = Features::ALL_ON;
    let name = full.then(|| "Ada".to_owned());
    let in_board = BoardPresence { user_id: "ada".into(), user_name: name.clone(), board_id };
    let typing = TypingEvent { user_id: "ada".into(), user_name: name.clone(), post_id, board_id };
    vec![
        ServerEvent::BoardNewPost(NewPost { post: post(full), author: author.clone(), moved: full }),
        ServerEvent::BoardPostUpdated(PostUpdated { post: post(full), author, changed: vec![PostColumn::LockId] }),
        ServerEvent::BoardPostDeleted(PostDeleted { post_id, board_id, moved: full }),
        ServerEvent::PostVoteAdded(count.clone()),
        ServerEvent::PostVoteRemoved(count.clone()),
        ServerEvent::PostVoteChanged(count.clone()),
        ServerEvent::PostNewComment(of_comment.clone()),
        ServerEvent::PostCommentUpdated(of_comment),
        ServerEvent::PostCommentDeleted(CommentDeleted { comment_id, post_id, board_id }),
        ServerEvent::PostCommentCountChanged(count),
        ServerEvent::BoardCreated(BoardCreated { board: board(full) }),
        ServerEvent::BoardSettingsChanged(BoardChanged { board_id, board: board(full) }),
        ServerEvent::BoardDeleted(BoardGone { board_id }),
        ServerEvent::BoardAccessRevoked(AccessRevoked { board_id, reason: RevokeReason::CommunityRoles }),
        ServerEvent::BoardAccessGranted(AccessGranted { board_id }),
        ServerEvent::CommunitySettingsChanged(CommunityChanged { community_id: "c1".into(), features }),
        ServerEvent::NotificationNew(Notification {
            kind: NotificationKind::Mention,
            post_id,
            board_id,
            comment_id,
            actor: person(full),
            excerpt: String::new(),
        }),
        ServerEvent::UserOnline(UserOnline {
            user_id: "ada".into(),
            user_name: name.clone(),
            avatar_url: name.clone(),
            board_id: full.then_some(board_id),
        }),
        ServerEvent::UserOffline(UserOffline { user_id: "ada".into() }),
        ServerEvent::UserJoinedBoard(in_board.clone()),
        ServerEvent::UserLeftBoard(in_board),
        ServerEvent::TypingStart(typing.clone()),
        ServerEvent::TypingStop(typing),
        ServerEvent::SessionReady(SessionReady {
            user_id: "ada".into(),
            community_id: "c1".into(),
            cursor: "1.2.3".to_owned(),
            expires_at: DateTime::UNIX_EPOCH,
            features,
        }),
        ServerEvent::SessionExpiring(SessionExpiring { expires_at: DateTime::UNIX_EPOCH }),
        ServerEvent::SessionExpired(Empty {}),
        ServerEvent::ServerDraining(Draining { reconnect_in_ms: u64::MAX }),
        ServerEvent::Error(ErrorEvent {
            code: ErrorCode::TooManyRooms,
            message: "no".to_owned(),
            event: "board:join".to_owned(),
        }),
    ]
}

#[tokio::test]
async fn the_document_is_asyncapi_and_describes_every_event_to_the_last_key() {
    let mut asked = Vec::new();
    for events in [events(true), events(false)] {
        let names: Vec<&str> = events.iter().map(ServerEvent::name).collect();
        let contract: Vec<&str> = ServerEvent::TABLE.iter().map(|spec| spec.name).collect();
        assert_eq!(names, contract, "each event of the contract has its sample here");
        for (event, spec) in events.iter().zip(ServerEvent::TABLE) {
            let payload: Value = serde_json::from_str(event.encode().expect("JSON").get()).expect("JSON");
            asked.push((schema(spec.payload), payload));
        }
    }
    for retry_after_ms in [None, Some(1)] {
        let error = Failure { retry_after_ms, ..Failure::new(ErrorCode::RateLimited, "no") };
        asked.push((schema("Refusal"), json!({"ok": false, "error": error})));
    }
    assert_eq!(flaws(&asked).await, vec![None; asked.len()]);
}

#[tokio::test]
async fn what_the_document_does_not_describe_is_seen() {
    let asked = [
        ("Post", json!({"id": 1})),
        ("BoardGone", json!({"boardId": 1, "by": "ada"})),
        ("BoardGone", json!({"board_id": 1})),
        ("BoardGone", json!({"boardId": "1"})),
        ("PostDeleted", json!({"postId": 1, "boardId": 1, "moved": null})),
        ("Meta", json!({"cursor": "1.2.3", "at": "2026-01-01 12:00"})),
        ("Empty", json!({"a": 1})),
        ("RevokeReason", json!("whim")),
    ]
    .map(|(name, value)| (schema(name), value));
    for (flaw, (path, value)) in flaws(&asked).await.iter().zip(&asked) {
        assert!(flaw.is_some(), "{path} is not {value}");
    }
}

#[tokio::test]
async fn an_argument_is_taken_exactly_when_the_document_has_it() {
    let ids = [
        json!(7),
        json!("7"),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(i32::MAX),
        json!(2_147_483_648_u32),
        json!(""),
        json!("seven"),
        json!("77777777777"),
        json!([7]),
        json!({}),
        json!(true),
    ];
    let mut asked = Vec::new();
    let mut taken = Vec::new();
    for command in COMMANDS.iter().filter(|command| command.argument != "Nothing") {
        let of_post = command.name.starts_with("post:") || command.name.starts_with("typing:");
        let key = if of_post { "postId" } else { "boardId" };
        let mut arguments = ids.to_vec();
        arguments.push(json!(null));
        if command.name == "session:refresh" {
            arguments.extend([json!({"token": "a.b.c"}), json!({"token": null}), json!({"token": ["a.b.c"]})]);
        }
        if command.name.starts_with("typing:") || command.name == "presence:list" {
            arguments.extend(ids.iter().map(|id| json!({key: id})));
            arguments.push(json!({key: null}));
        }
        if command.name.ends_with(":join") {
            if command.name == "feed:join" {
                arguments.extend([json!({"since": "1.2.3"}), json!({"since": null})]);
            } else {
                arguments.extend(ids.iter().map(|id| json!({key: id, "since": "1.2.3"})));
                arguments.extend([json!({key: 7, "since": null}), json!({"since": "1.2.3"})]);
            }
            // The document asks for a cursor; whatever else comes in its place must not break the join.
            let odd = if command.name == "feed:join" { json!({"since": [1]}) } else { json!({key: 7, "since": [1]}) };
            assert!(Command::read(command.name, &odd).is_ok(), "{} {odd}", command.name);
        }
        for argument in arguments {
            taken.push(Command::read(command.name, &argument).is_ok());
            asked.push((schema(command.argument), argument));
        }
    }
    for typing in [json!(true), json!(null), json!("yes")] {
        let argument = json!({"boardId": 7, "typing": typing});
        taken.push(Command::read("board:join", &argument).is_ok());
        asked.push((schema("BoardJoin"), argument));
    }
    let described: Vec<bool> = flaws(&asked).await.iter().map(Option::is_none).collect();
    for ((taken, described), asked) in taken.iter().zip(&described).zip(&asked) {
        assert_eq!(taken, described, "{asked:?}");
    }
    assert!(taken.iter().filter(|taken| **taken).count() > 15 && taken.iter().filter(|taken| !**taken).count() > 40);
}
