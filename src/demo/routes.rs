//! The forum's REST API, as small as the page needs it.

use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::{get, patch, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::DemoError;
use super::people::{COMMUNITIES, DemoUser, PEOPLE};
use super::rows::{CommentAndAuthor, PostAndAuthor};
use super::{DemoState, forum};

/// A request may be this long; the longest text in it a fourth of that, so that escapes fit.
const BODY_LIMIT: usize = 64 * 1024;
const TEXT_LIMIT: usize = 16 * 1024;
/// `varchar(255)` of titles and board names.
const TITLE_LIMIT: usize = 255;
const TAG_LIMIT: usize = 8;

type Answer = Result<Json<Value>, DemoError>;

pub(super) fn router(state: DemoState) -> Router {
    let api = Router::new()
        .route("/people", get(people))
        .route("/token", post(token))
        .route("/boards", get(list_boards).post(create_board))
        .route("/boards/{board_id}", patch(update_board).delete(delete_board))
        .route("/boards/{board_id}/posts", get(list_posts).post(write_post))
        .route("/posts/{post_id}", patch(edit_post).delete(delete_post))
        .route("/posts/{post_id}/board", put(move_post))
        .route("/posts/{post_id}/vote", put(vote).delete(unvote))
        .route("/posts/{post_id}/comments", get(list_comments).post(write_comment))
        .route("/comments/{comment_id}", patch(edit_comment).delete(delete_comment))
        .fallback(async || DemoError::NotFound("address in the demo's API"))
        .method_not_allowed_fallback(async || {
            (
                StatusCode::METHOD_NOT_ALLOWED,
                Json(json!({ "error": {
                    "code": "method_not_allowed",
                    "message": "this address exists, but not with that method",
                }})),
            )
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(state);
    Router::new().nest("/demo/api", api)
}

/// Who the request comes from, by its own word.
struct Caller(&'static DemoUser);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = DemoError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, DemoError> {
        let header = parts.headers.get("x-demo-user").ok_or(DemoError::Anonymous)?;
        let user_id = String::from_utf8_lossy(header.as_bytes());
        DemoUser::by_id(&user_id).map(Self).ok_or_else(|| DemoError::Stranger(user_id.into_owned()))
    }
}

/// A JSON body whose errors are JSON too.
#[derive(FromRequest)]
#[from_request(via(Json), rejection(DemoError))]
struct Body<T>(T);

/// A path parameter whose errors are JSON too.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(DemoError))]
struct Id<T>(T);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPost {
    title: String,
    content: String,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostEdit {
    title: Option<String>,
    content: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostMove {
    board_id: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewComment {
    content: String,
    parent_comment_id: Option<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommentEdit {
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBoard {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    allowed_roles: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BoardEdit {
    name: Option<String>,
    description: Option<String>,
    allowed_roles: Option<Vec<String>>,
}

async fn people() -> Json<Value> {
    let people: Vec<Value> = PEOPLE
        .iter()
        .map(|person| {
            json!({
                "user_id": person.user_id,
                "name": person.name,
                "profile_picture_url": person.picture(),
                "community_id": person.community_id,
                "roles": person.roles,
                "admin": person.admin,
            })
        })
        .collect();
    Json(json!({ "communities": COMMUNITIES, "people": people }))
}

async fn token(State(state): State<DemoState>, Caller(person): Caller) -> Answer {
    forum::sign_in(&state.pool, person).await?;
    let token = (state.mint)(person).map_err(DemoError::Mint)?;
    Ok(Json(json!({ "token": token })))
}

async fn list_boards(State(state): State<DemoState>, Caller(person): Caller) -> Answer {
    let boards = forum::boards(&state.pool, person.community_id).await?;
    let boards: Vec<_> = boards.iter().map(|board| board.shown_to(person)).collect();
    Ok(Json(json!({ "boards": boards })))
}

async fn create_board(State(state): State<DemoState>, Caller(person): Caller, Body(new): Body<NewBoard>) -> Answer {
    if !person.admin {
        return Err(DemoError::NotYours("an admin of your community"));
    }
    let name = text("name", &new.name, TITLE_LIMIT)?;
    let description = plain("description", &new.description, TEXT_LIMIT)?;
    let roles = words("allowed_roles", &new.allowed_roles)?;
    let id = forum::create_board(&state.pool, person.community_id, name, description, &roles).await?;
    Ok(Json(json!({ "board_id": id })))
}

async fn update_board(
    State(state): State<DemoState>,
    Caller(person): Caller,
    Id(board_id): Id<i32>,
    Body(edit): Body<BoardEdit>,
) -> Answer {
    own_board(&state, person, board_id).await?;
    let name = edit.name.as_deref().map(|name| text("name", name, TITLE_LIMIT)).transpose()?;
    let description = edit.description.as_deref().map(|words| plain("description", words, TEXT_LIMIT)).transpose()?;
    let roles = edit.allowed_roles.as_deref().map(|roles| words("allowed_roles", roles)).transpose()?;
    forum::update_board(&state.pool, board_id, name, description, roles.as_deref()).await?;
    Ok(Json(json!({})))
}

async fn delete_board(State(state): State<DemoState>, Caller(person): Caller, Id(board_id): Id<i32>) -> Answer {
    own_board(&state, person, board_id).await?;
    forum::delete_board(&state.pool, board_id).await?;
    Ok(Json(json!({})))
}

/// An admin rules the boards of their own community, not those it imported.
async fn own_board(state: &DemoState, person: &DemoUser, board_id: i32) -> Result<(), DemoError> {
    let board = forum::open_board(&state.pool, person, board_id).await?;
    if person.admin && board.community_id == person.community_id {
        Ok(())
    } else {
        Err(DemoError::NotYours("an admin of the board's own community"))
    }
}

async fn list_posts(State(state): State<DemoState>, Caller(person): Caller, Id(board_id): Id<i32>) -> Answer {
    let board = forum::open_board(&state.pool, person, board_id).await?;
    let posts = forum::posts(&state.pool, person, board_id).await?;
    let posts: Vec<PostAndAuthor> = posts.into_iter().map(Into::into).collect();
    Ok(Json(json!({ "board": board.shown_to(person), "posts": posts })))
}

async fn write_post(
    State(state): State<DemoState>,
    Caller(person): Caller,
    Id(board_id): Id<i32>,
    Body(new): Body<NewPost>,
) -> Answer {
    let title = text("title", &new.title, TITLE_LIMIT)?;
    let content = text("content", &new.content, TEXT_LIMIT)?;
    let tags = words("tags", &new.tags)?;
    forum::open_board(&state.pool, person, board_id).await?;
    let id = forum::write_post(&state.pool, person, board_id, title, content, &tags).await?;
    Ok(Json(json!({ "post_id": id })))
}

async fn edit_post(
    State(state): State<DemoState>,
    Caller(person): Caller,
    Id(post_id): Id<i32>,
    Body(edit): Body<PostEdit>,
) -> Answer {
    let title = edit.title.as_deref().map(|title| text("title", title, TITLE_LIMIT)).transpose()?;
    let content = edit.content.as_deref().map(|content| text("content", content, TEXT_LIMIT)).transpose()?;
    own_post(&state, person, post_id).await?;
    forum::edit_post(&state.pool, post_id, title, content).await?;
    Ok(Json(json!({})))
}

async fn move_post(
    State(state): State<DemoState>,
    Caller(person): Caller,
    Id(post_id): Id<i32>,
    Body(target): Body<PostMove>,
) -> Answer {
    own_post(&state, person, post_id).await?;
    forum::open_board(&state.pool, person, target.board_id).await?;
    forum::move_post(&state.pool, post_id, target.board_id).await?;
    Ok(Json(json!({})))
}

async fn delete_post(State(state): State<DemoState>, Caller(person): Caller, Id(post_id): Id<i32>) -> Answer {
    own_post(&state, person, post_id).await?;
    forum::delete_post(&state.pool, post_id).await?;
    Ok(Json(json!({})))
}

async fn own_post(state: &DemoState, person: &DemoUser, post_id: i32) -> Result<(), DemoError> {
    let post = forum::open_post(&state.pool, person, post_id).await?;
    authored(person, &post.author_user_id)
}

async fn vote(State(state): State<DemoState>, Caller(person): Caller, Id(post_id): Id<i32>) -> Answer {
    forum::open_post(&state.pool, person, post_id).await?;
    let count = forum::vote(&state.pool, person, post_id).await?;
    Ok(Json(json!({ "upvote_count": count })))
}

async fn unvote(State(state): State<DemoState>, Caller(person): Caller, Id(post_id): Id<i32>) -> Answer {
    forum::open_post(&state.pool, person, post_id).await?;
    let count = forum::unvote(&state.pool, person, post_id).await?;
    Ok(Json(json!({ "upvote_count": count })))
}

async fn list_comments(State(state): State<DemoState>, Caller(person): Caller, Id(post_id): Id<i32>) -> Answer {
    forum::open_post(&state.pool, person, post_id).await?;
    let comments = forum::comments(&state.pool, post_id).await?;
    let comments: Vec<CommentAndAuthor> = comments.into_iter().map(Into::into).collect();
    Ok(Json(json!({ "comments": comments })))
}

async fn write_comment(
    State(state): State<DemoState>,
    Caller(person): Caller,
    Id(post_id): Id<i32>,
    Body(new): Body<NewComment>,
) -> Answer {
    let content = text("content", &new.content, TEXT_LIMIT)?;
    forum::open_post(&state.pool, person, post_id).await?;
    if let Some(parent) = new.parent_comment_id
        && forum::open_comment(&state.pool, person, parent).await?.post_id != post_id
    {
        return Err(DemoError::Invalid("the comment you answer stands under another post".to_owned()));
    }
    let id = forum::write_comment(&state.pool, person, post_id, new.parent_comment_id, content).await?;
    Ok(Json(json!({ "comment_id": id })))
}

async fn edit_comment(
    State(state): State<DemoState>,
    Caller(person): Caller,
    Id(comment_id): Id<i32>,
    Body(edit): Body<CommentEdit>,
) -> Answer {
    let content = text("content", &edit.content, TEXT_LIMIT)?;
    let comment = forum::open_comment(&state.pool, person, comment_id).await?;
    authored(person, &comment.author_user_id)?;
    forum::edit_comment(&state.pool, comment_id, content).await?;
    Ok(Json(json!({})))
}

async fn delete_comment(State(state): State<DemoState>, Caller(person): Caller, Id(comment_id): Id<i32>) -> Answer {
    let comment = forum::open_comment(&state.pool, person, comment_id).await?;
    authored(person, &comment.author_user_id)?;
    forum::delete_comment(&state.pool, comment_id).await?;
    Ok(Json(json!({})))
}

fn authored(person: &DemoUser, author_user_id: &str) -> Result<(), DemoError> {
    if person.admin || person.user_id == author_user_id {
        Ok(())
    } else {
        Err(DemoError::NotYours("its author or an admin"))
    }
}

/// A required text.
fn text<'a>(field: &str, value: &'a str, limit: usize) -> Result<&'a str, DemoError> {
    let value = plain(field, value, limit)?;
    if value.is_empty() { Err(DemoError::Invalid(format!("{field} is empty; write something"))) } else { Ok(value) }
}

/// A text PostgreSQL can store: no NUL, and not too long.
fn plain<'a>(field: &str, value: &'a str, limit: usize) -> Result<&'a str, DemoError> {
    let value = value.trim();
    if value.contains('\0') {
        return Err(DemoError::Invalid(format!("{field} contains a NUL character, which PostgreSQL cannot store")));
    }
    let length = value.chars().count();
    if length > limit {
        return Err(DemoError::Invalid(format!("{field} has {length} characters; at most {limit} fit")));
    }
    Ok(value)
}

/// A short list of short texts, such as tags or role ids.
fn words(field: &str, values: &[String]) -> Result<Vec<String>, DemoError> {
    if values.len() > TAG_LIMIT {
        return Err(DemoError::Invalid(format!("{field} has {} entries; at most {TAG_LIMIT} fit", values.len())));
    }
    values.iter().map(|value| text(field, value, 40).map(str::to_owned)).collect()
}
