//! The forum's rows as its REST API returns them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::access::Admission;
use super::people::DemoUser;

/// A board with what decides who may read it.
#[derive(Debug)]
pub struct BoardRow {
    pub id: i32,
    pub community_id: String,
    pub community_name: String,
    pub name: String,
    pub description: Option<String>,
    pub settings: Option<Value>,
    /// Settings of the reader's community, which has a say of its own.
    pub reader_community_settings: Option<Value>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl BoardRow {
    /// Whether this person may read and write here.
    pub fn is_open_to(&self, person: &DemoUser) -> bool {
        Admission::of(self.reader_community_settings.as_ref()).admits(person)
            && Admission::of(self.settings.as_ref()).admits(person)
    }

    /// The row as this person may see it: the list of roles goes to the admins of the board's own community.
    pub fn shown_to(&self, person: &DemoUser) -> Board {
        let admission = Admission::of(self.settings.as_ref());
        let imported = self.community_id != person.community_id;
        Board {
            id: self.id,
            community_id: self.community_id.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            open: self.is_open_to(person),
            restricted: admission != Admission::Everybody,
            imported_from: imported.then(|| self.community_name.clone()),
            allowed_roles: match admission {
                Admission::Roles(roles) if person.admin && !imported => Some(roles),
                Admission::Everybody if person.admin && !imported => Some(Vec::new()),
                _ => None,
            },
        }
    }
}

/// A board in an answer.
#[derive(Debug, Serialize)]
pub struct Board {
    id: i32,
    community_id: String,
    name: String,
    description: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    open: bool,
    restricted: bool,
    imported_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_roles: Option<Vec<String>>,
}

/// The writer of a post or comment.
#[derive(Debug, Serialize)]
pub struct Author {
    user_id: String,
    name: Option<String>,
    profile_picture_url: Option<String>,
}

/// A post, its author, and whether the reader has voted for it.
#[derive(Debug)]
pub struct PostRow {
    pub id: i32,
    pub author_user_id: String,
    pub title: String,
    pub content: String,
    pub tags: Option<Vec<String>>,
    pub upvote_count: i32,
    pub comment_count: i32,
    pub board_id: i32,
    pub lock_id: Option<i32>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub author_name: Option<String>,
    pub author_picture: Option<String>,
    pub voted: bool,
}

/// A comment and its author.
#[derive(Debug)]
pub struct CommentRow {
    pub id: i32,
    pub post_id: i32,
    pub author_user_id: String,
    pub parent_comment_id: Option<i32>,
    pub content: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub author_name: Option<String>,
    pub author_picture: Option<String>,
}

/// A post in an answer, in the shape `board:newPost` has.
#[derive(Debug, Serialize)]
pub struct PostAndAuthor {
    post: Post,
    author: Author,
    voted: bool,
}

#[derive(Debug, Serialize)]
struct Post {
    id: i32,
    author_user_id: String,
    title: String,
    content: String,
    tags: Vec<String>,
    upvote_count: i32,
    comment_count: i32,
    board_id: i32,
    lock_id: Option<i32>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A comment in an answer, in the shape `post:newComment` has.
#[derive(Debug, Serialize)]
pub struct CommentAndAuthor {
    comment: Comment,
    author: Author,
}

#[derive(Debug, Serialize)]
struct Comment {
    id: i32,
    post_id: i32,
    author_user_id: String,
    parent_comment_id: Option<i32>,
    content: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<PostRow> for PostAndAuthor {
    fn from(row: PostRow) -> Self {
        Self {
            author: Author {
                user_id: row.author_user_id.clone(),
                name: row.author_name,
                profile_picture_url: row.author_picture,
            },
            voted: row.voted,
            post: Post {
                id: row.id,
                author_user_id: row.author_user_id,
                title: row.title,
                content: row.content,
                tags: row.tags.unwrap_or_default(),
                upvote_count: row.upvote_count,
                comment_count: row.comment_count,
                board_id: row.board_id,
                lock_id: row.lock_id,
                created_at: row.created_at,
                updated_at: row.updated_at,
            },
        }
    }
}

impl From<CommentRow> for CommentAndAuthor {
    fn from(row: CommentRow) -> Self {
        Self {
            author: Author {
                user_id: row.author_user_id.clone(),
                name: row.author_name,
                profile_picture_url: row.author_picture,
            },
            comment: Comment {
                id: row.id,
                post_id: row.post_id,
                author_user_id: row.author_user_id,
                parent_comment_id: row.parent_comment_id,
                content: row.content,
                created_at: row.created_at,
                updated_at: row.updated_at,
            },
        }
    }
}
