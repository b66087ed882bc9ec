//! The rows a batch needs: one query a table, all in the transaction given.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;

use crate::{
    contract::{Board, Comment, Person, Post},
    event::{BoardRow, CommentRow, Needs, PostHead, PostRow, Rows},
    excerpt::{self, Extent, Gist},
    ids::{BoardId, CommentId, CommunityId, PostId, UserId},
    postgres::facts,
};

/// So many characters of a content are read for whom it mentions and how it begins, also where the event shows fewer.
const READ_OF_CONTENT: usize = 65_536;

/// Reads what `needs` names, as far as it exists.
pub(super) async fn load(
    connection: &mut PgConnection,
    needs: &Needs,
    content_limit: usize,
) -> Result<Rows, sqlx::Error> {
    let mut rows = Rows::default();
    if !needs.heads.is_empty() {
        rows.heads = heads(connection, &needs.heads).await?;
    }
    if !needs.posts.is_empty() {
        rows.posts = posts(connection, &needs.posts, content_limit).await?;
    }
    if !needs.comments.is_empty() {
        rows.comments = comments(connection, &needs.comments, content_limit).await?;
    }
    let notified = needs.notified.iter().filter_map(|post| rows.heads.get(post)?.board);
    let asked: BTreeSet<BoardId> = needs.boards.iter().chain(&needs.left).copied().chain(notified).collect();
    if !(asked.is_empty() && needs.communities.is_empty()) {
        rows.facts = facts::boards(&mut *connection, &asked, &needs.communities).await?;
    }
    if !needs.boards.is_empty() {
        rows.boards = boards(connection, &needs.boards, &rows.facts).await?;
    }
    if !needs.communities.is_empty() {
        rows.communities = facts::communities(connection, &needs.communities).await?;
    }
    Ok(rows)
}

async fn heads(
    connection: &mut PgConnection,
    ids: &BTreeSet<PostId>,
) -> Result<HashMap<PostId, PostHead>, sqlx::Error> {
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let found = sqlx::query_file!("sql/rows/heads.sql", &ids).fetch_all(connection).await?;
    Ok(found
        .into_iter()
        .map(|row| {
            let head = PostHead {
                board: row.board_id.map(BoardId),
                upvotes: row.upvote_count.unwrap_or_default(),
                comments: row.comment_count.unwrap_or_default(),
                author: row.author_user_id.map(UserId::from),
            };
            (PostId(row.id), head)
        })
        .collect())
}

async fn posts(
    connection: &mut PgConnection,
    ids: &BTreeSet<PostId>,
    content_limit: usize,
) -> Result<HashMap<PostId, PostRow>, sqlx::Error> {
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let found = sqlx::query_file!("sql/rows/posts.sql", &ids, characters(content_limit)).fetch_all(connection).await?;
    Ok(found
        .into_iter()
        .map(|row| {
            let (content, content_truncated) = cut(row.content, content_limit);
            let post = Post {
                id: PostId(row.id),
                author_user_id: row.author_user_id.map(UserId::from),
                title: row.title,
                content,
                content_truncated,
                tags: row.tags,
                upvote_count: row.upvote_count.unwrap_or_default(),
                comment_count: row.comment_count.unwrap_or_default(),
                board_id: row.board_id.map(BoardId),
                lock_id: row.lock_id,
                created_at: row.created_at,
                updated_at: row.updated_at,
            };
            let author = person(row.user_id, row.user_name, row.profile_picture_url);
            (post.id, PostRow { post, author })
        })
        .collect())
}

async fn comments(
    connection: &mut PgConnection,
    ids: &BTreeSet<CommentId>,
    content_limit: usize,
) -> Result<HashMap<CommentId, CommentRow>, sqlx::Error> {
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let most = content_limit.max(READ_OF_CONTENT);
    let found = sqlx::query_file!("sql/rows/comments.sql", &ids, characters(most)).fetch_all(connection).await?;
    Ok(found
        .into_iter()
        .map(|row| {
            let content = row.content.as_deref().unwrap_or_default();
            let extent = if content.chars().count() > most { Extent::Beginning } else { Extent::Whole };
            let Gist { mentions, excerpt } = excerpt::read(content, extent);
            let (content, content_truncated) = cut(row.content, content_limit);
            let comment = Comment {
                id: CommentId(row.id),
                post_id: PostId(row.post_id),
                author_user_id: row.author_user_id.map(UserId::from),
                parent_comment_id: row.parent_comment_id.map(CommentId),
                content,
                content_truncated,
                created_at: row.created_at,
                updated_at: row.updated_at,
            };
            let author = person(row.user_id, row.user_name, row.profile_picture_url);
            let parent_author = row.parent_author.map(UserId::from);
            (comment.id, CommentRow { comment, author, parent_author, mentions, excerpt })
        })
        .collect())
}

async fn boards(
    connection: &mut PgConnection,
    ids: &BTreeSet<BoardId>,
    facts: &HashMap<BoardId, crate::access::BoardFacts>,
) -> Result<HashMap<BoardId, BoardRow>, sqlx::Error> {
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let found = sqlx::query_file!("sql/rows/boards.sql", &ids).fetch_all(connection).await?;
    Ok(found
        .into_iter()
        .filter_map(|row| {
            let facts = facts.get(&BoardId(row.id))?.clone();
            let board = Board {
                id: BoardId(row.id),
                community_id: row.community_id.map(CommunityId::from),
                name: row.name,
                description: row.description,
                settings: row.settings,
                created_at: row.created_at,
                updated_at: row.updated_at,
            };
            Some((board.id, BoardRow { board, facts }))
        })
        .collect())
}

fn person(user_id: Option<String>, name: Option<String>, picture: Option<String>) -> Option<Person> {
    Some(Person { user_id: user_id?.into(), name, profile_picture_url: picture })
}

/// One more than the limit, so that a cut is noticed. A character is at least a byte.
fn characters(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX).saturating_add(1)
}

/// Cuts to `limit` bytes without splitting a character.
fn cut(content: Option<String>, limit: usize) -> (Option<String>, bool) {
    match content {
        Some(mut text) if text.len() > limit => {
            text.truncate(text.floor_char_boundary(limit));
            (Some(text), true)
        }
        whole => (whole, false),
    }
}
