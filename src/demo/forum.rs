//! The forum's statements, one function each, in transactions where the forum uses them.
//!
//! Nothing here knows that anybody listens.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::error::DemoError;
use super::people::{COMMUNITIES, DemoUser};
use super::rows::{BoardRow, CommentRow, PostRow};

/// How many posts or comments one answer carries at most: the newest.
pub const PAGE_SIZE: i64 = 100;

/// Upserts the person and their community, as the forum does at every sign-in.
pub async fn sign_in(pool: &PgPool, person: &DemoUser) -> Result<(), DemoError> {
    let mut tx = pool.begin().await?;
    if let Some(community) = COMMUNITIES.iter().find(|community| community.id == person.community_id) {
        sqlx::query_file!("sql/demo/sign_in_community.sql", community.id, community.name, community.short_id)
            .execute(&mut *tx)
            .await?;
    }
    sqlx::query_file!("sql/demo/sign_in_user.sql", person.user_id, person.name, person.picture())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Every board of the community, its own and imported, open or closed.
pub async fn boards(pool: &PgPool, community_id: &str) -> Result<Vec<BoardRow>, DemoError> {
    Ok(sqlx::query_file_as!(BoardRow, "sql/demo/boards_of_community.sql", community_id).fetch_all(pool).await?)
}

/// A board the person may open.
pub async fn open_board(pool: &PgPool, person: &DemoUser, board_id: i32) -> Result<BoardRow, DemoError> {
    let board = sqlx::query_file_as!(BoardRow, "sql/demo/board_for_community.sql", board_id, person.community_id)
        .fetch_optional(pool)
        .await?
        .ok_or(DemoError::NotFound("board"))?;
    if board.is_open_to(person) { Ok(board) } else { Err(DemoError::BoardClosed(board.name)) }
}

/// A board's newest posts. The caller has checked the board.
pub async fn posts(pool: &PgPool, reader: &DemoUser, board_id: i32) -> Result<Vec<PostRow>, DemoError> {
    Ok(sqlx::query_file_as!(PostRow, "sql/demo/posts_of_board.sql", board_id, reader.user_id, PAGE_SIZE)
        .fetch_all(pool)
        .await?)
}

/// A post on a board the person may open. A post whose board is closed to them is not there.
pub async fn open_post(pool: &PgPool, person: &DemoUser, post_id: i32) -> Result<PostRow, DemoError> {
    let post = sqlx::query_file_as!(PostRow, "sql/demo/post.sql", post_id, person.user_id)
        .fetch_optional(pool)
        .await?
        .ok_or(DemoError::NotFound("post"))?;
    match open_board(pool, person, post.board_id).await {
        Ok(_) => Ok(post),
        Err(DemoError::NotFound(_)) => Err(DemoError::NotFound("post")),
        Err(error) => Err(error),
    }
}

/// A post's newest comments, oldest first. The caller has checked the post.
pub async fn comments(pool: &PgPool, post_id: i32) -> Result<Vec<CommentRow>, DemoError> {
    Ok(sqlx::query_file_as!(CommentRow, "sql/demo/comments_of_post.sql", post_id, PAGE_SIZE).fetch_all(pool).await?)
}

/// A comment under a post the person may open.
pub async fn open_comment(pool: &PgPool, person: &DemoUser, comment_id: i32) -> Result<CommentRow, DemoError> {
    let comment = sqlx::query_file_as!(CommentRow, "sql/demo/comment.sql", comment_id)
        .fetch_optional(pool)
        .await?
        .ok_or(DemoError::NotFound("comment"))?;
    open_post(pool, person, comment.post_id).await?;
    Ok(comment)
}

/// Writes a post; gives its id.
pub async fn write_post(
    pool: &PgPool,
    author: &DemoUser,
    board_id: i32,
    title: &str,
    content: &str,
    tags: &[String],
) -> Result<i32, DemoError> {
    let row = sqlx::query_file!("sql/demo/post_insert.sql", author.user_id, title, content, tags, board_id)
        .fetch_one(pool)
        .await?;
    Ok(row.id)
}

/// Changes a post's title, content or both.
pub async fn edit_post(
    pool: &PgPool,
    post_id: i32,
    title: Option<&str>,
    content: Option<&str>,
) -> Result<(), DemoError> {
    let done = sqlx::query_file!("sql/demo/post_edit.sql", post_id, title, content).execute(pool).await?;
    require(done.rows_affected(), DemoError::NotFound("post"))
}

/// Moves a post to another board.
pub async fn move_post(pool: &PgPool, post_id: i32, board_id: i32) -> Result<(), DemoError> {
    let done = sqlx::query_file!("sql/demo/post_move.sql", board_id, post_id).execute(pool).await?;
    require(done.rows_affected(), DemoError::NotFound("post"))
}

/// Deletes a post; its comments and votes go by cascade.
pub async fn delete_post(pool: &PgPool, post_id: i32) -> Result<(), DemoError> {
    let done = sqlx::query_file!("sql/demo/post_delete.sql", post_id).execute(pool).await?;
    require(done.rows_affected(), DemoError::NotFound("post"))
}

/// Votes for a post; gives the new count. A second vote fails on the key and is rolled back.
pub async fn vote(pool: &PgPool, voter: &DemoUser, post_id: i32) -> Result<i32, DemoError> {
    let mut tx = pool.begin().await?;
    sqlx::query_file!("sql/demo/vote_insert.sql", voter.user_id, post_id).execute(&mut *tx).await?;
    let row = sqlx::query_file!("sql/demo/upvote_count_raise.sql", post_id).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(row.upvote_count)
}

/// Takes a vote back; gives the new count.
pub async fn unvote(pool: &PgPool, voter: &DemoUser, post_id: i32) -> Result<i32, DemoError> {
    let mut tx = pool.begin().await?;
    let done = sqlx::query_file!("sql/demo/vote_delete.sql", voter.user_id, post_id).execute(&mut *tx).await?;
    // Leaving here rolls back: without a vote the counter must not move.
    require(done.rows_affected(), DemoError::NotVoted)?;
    let row = sqlx::query_file!("sql/demo/upvote_count_lower.sql", post_id).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(row.upvote_count)
}

/// Writes a comment and raises the post's counter; gives the comment's id.
pub async fn write_comment(
    pool: &PgPool,
    author: &DemoUser,
    post_id: i32,
    parent_comment_id: Option<i32>,
    content: &str,
) -> Result<i32, DemoError> {
    let mut tx = pool.begin().await?;
    let row = sqlx::query_file!("sql/demo/comment_insert.sql", post_id, author.user_id, parent_comment_id, content)
        .fetch_one(&mut *tx)
        .await?;
    sqlx::query_file!("sql/demo/comment_count_raise.sql", post_id).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(row.id)
}

/// Changes a comment.
pub async fn edit_comment(pool: &PgPool, comment_id: i32, content: &str) -> Result<(), DemoError> {
    let done = sqlx::query_file!("sql/demo/comment_edit.sql", comment_id, content).execute(pool).await?;
    require(done.rows_affected(), DemoError::NotFound("comment"))
}

/// Deletes a comment and, by cascade, its replies.
pub async fn delete_comment(pool: &PgPool, comment_id: i32) -> Result<(), DemoError> {
    let done = sqlx::query_file!("sql/demo/comment_delete.sql", comment_id).execute(pool).await?;
    require(done.rows_affected(), DemoError::NotFound("comment"))
}

/// Creates a board; gives its id.
pub async fn create_board(
    pool: &PgPool,
    community_id: &str,
    name: &str,
    description: &str,
    allowed_roles: &[String],
) -> Result<i32, DemoError> {
    let settings = json!({ "permissions": { "allowedRoles": allowed_roles } });
    let row = sqlx::query_file!("sql/demo/board_insert.sql", community_id, name, description, settings)
        .fetch_one(pool)
        .await?;
    Ok(row.id)
}

/// Changes a board's name, description or roles; `None` leaves each as it is.
pub async fn update_board(
    pool: &PgPool,
    board_id: i32,
    name: Option<&str>,
    description: Option<&str>,
    allowed_roles: Option<&[String]>,
) -> Result<(), DemoError> {
    let roles: Option<Value> = allowed_roles.map(|roles| json!(roles));
    let done = sqlx::query_file!("sql/demo/board_update.sql", board_id, name, description, roles).execute(pool).await?;
    require(done.rows_affected(), DemoError::NotFound("board"))
}

/// Deletes a board with everything on it.
pub async fn delete_board(pool: &PgPool, board_id: i32) -> Result<(), DemoError> {
    let done = sqlx::query_file!("sql/demo/board_delete.sql", board_id).execute(pool).await?;
    require(done.rows_affected(), DemoError::NotFound("board"))
}

fn require(rows_affected: u64, otherwise: DemoError) -> Result<(), DemoError> {
    if rows_affected > 0 { Ok(()) } else { Err(otherwise) }
}
