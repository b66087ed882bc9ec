//! Change + rows -> events. Pure: [`Needs`] names the rows, an edge reads them in the snapshot of the tick, [`tell`] maps.
//!
//! A row is told only where it stands at that snapshot: a post that was created here and moved away within the same tick is
//! no news here, and one that died is not shown as alive. So it is where the tick is read late and the post is moved by then: the board from
//! which it goes is not shown it any more, and its room goes along.

mod needs;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

pub use self::needs::Needs;
use crate::{
    access::{BoardFacts, CommunityFacts},
    audience::{Audience, ToAdmins},
    change::Change,
    contract::{
        Board, BoardChanged, BoardCreated, BoardGone, Comment, CommentDeleted, CommentEvent, CommunityChanged, NewPost,
        Notification, NotificationKind, Person, Post, PostDeleted, PostUpdated, ServerEvent,
    },
    ids::{BoardId, CommentId, CommunityId, PostId, UserId},
    merge::CountChange,
};

/// Where a post stands, and its counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostHead {
    pub board: Option<BoardId>,
    pub upvotes: i32,
    pub comments: i32,
    pub author: Option<UserId>,
}

/// A post with its author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostRow {
    pub post: Post,
    pub author: Option<Person>,
}

/// A comment with its author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommentRow {
    pub comment: Comment,
    pub author: Option<Person>,
    /// Who wrote the comment that this one answers.
    pub parent_author: Option<UserId>,
    /// Who is mentioned in the content, also where `comment` holds a cut one.
    pub mentions: Vec<UserId>,
    /// How the content begins, as plain text.
    pub excerpt: String,
}

/// A board with its settings, and what the access rule asks of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoardRow {
    pub board: Board,
    pub facts: BoardFacts,
}

/// Everything read for one batch, in one snapshot. What is not here does not exist there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    pub heads: HashMap<PostId, PostHead>,
    pub posts: HashMap<PostId, PostRow>,
    pub comments: HashMap<CommentId, CommentRow>,
    pub boards: HashMap<BoardId, BoardRow>,
    pub communities: HashMap<CommunityId, CommunityFacts>,
    /// The boards that the communities named in [`Needs`] own or import, those of `notified`, and those that posts left.
    pub facts: HashMap<BoardId, BoardFacts>,
    /// Posts that are moved between the tick and the moment of these rows. They are put back to where they stood then.
    #[serde(skip)]
    pub moving: BTreeSet<PostId>,
}

/// Of posts that were moved behind a tick, the board in which each stood at its end.
pub type Moved = BTreeMap<PostId, Option<BoardId>>;

impl Rows {
    /// What the access rule asks of the board, however it was read.
    pub fn board_facts(&self, board: BoardId) -> Option<&BoardFacts> {
        self.boards.get(&board).map(|row| &row.facts).or_else(|| self.facts.get(&board))
    }

    /// Puts the posts back to where they stood at the end of the tick, as whoever told it in time found them.
    pub fn put_back(&mut self, moved: &Moved) {
        for (post, board) in moved {
            if let Some(head) = self.heads.get_mut(post) {
                head.board = *board;
            }
            if let Some(row) = self.posts.get_mut(post) {
                row.post.board_id = *board;
            }
        }
    }

    fn board_of(&self, post: PostId) -> Option<BoardId> {
        self.heads.get(&post)?.board
    }
}

/// What a change gives to tell.
#[derive(Clone, Debug)]
pub enum Told {
    /// An event as it is. `part` tells the events of one change apart, whatever of them there is to tell.
    Event { audience: Audience, event: Box<ServerEvent>, to_admins: Option<ToAdmins<Box<ServerEvent>>>, part: u8 },
    /// A count that may be merged with later ones.
    Count(CountChange),
}

impl Told {
    fn new(audience: Audience, event: ServerEvent) -> Self {
        Self::Event { audience, event: Box::new(event), to_admins: None, part: 0 }
    }

    /// What is told second of a change. Of several only one concerns a socket.
    fn second(audience: Audience, event: ServerEvent) -> Self {
        Self::Event { audience, event: Box::new(event), to_admins: None, part: 1 }
    }
}

/// The events of one change, in order. Changes of access as such are told by [`crate::fence`].
pub fn tell(change: &Change, rows: &Rows) -> Vec<Told> {
    match change {
        Change::PostCreated { post, board } => new_post(*post, *board, false, rows).into_iter().collect(),
        Change::PostUpdated { post, columns, .. } => rows
            .posts
            .get(post)
            .zip(rows.board_of(*post))
            .map(|(row, board)| {
                let event =
                    PostUpdated { post: row.post.clone(), author: row.author.clone(), changed: columns.clone() };
                let goes = rows.moving.contains(post);
                let audience = if goes { Audience::Post(*post) } else { Audience::BoardAndPost(board, *post) };
                Told::new(audience, ServerEvent::BoardPostUpdated(event))
            })
            .into_iter()
            .collect(),
        Change::PostMoved { post, from, to } => {
            let left = from.map(|board| {
                let event = PostDeleted { post_id: *post, board_id: board, moved: true };
                Told::new(Audience::Board(board), ServerEvent::BoardPostDeleted(event))
            });
            left.into_iter().chain(new_post(*post, *to, from.is_some(), rows)).collect()
        }
        Change::PostDeleted { post, board } => board
            .map(|board| {
                let event = PostDeleted { post_id: *post, board_id: board, moved: false };
                Told::new(Audience::BoardAndPost(board, *post), ServerEvent::BoardPostDeleted(event))
            })
            .into_iter()
            .collect(),
        Change::PostCounted { .. } | Change::VoteAdded { .. } | Change::VoteRemoved { .. } => {
            count(change, rows).into_iter().collect()
        }
        Change::CommentCreated { comment, post } => {
            let mut told = new_comment(*comment, *post, rows);
            told.extend(count(change, rows));
            told
        }
        Change::CommentUpdated { comment, post } => comment_event(*comment, *post, rows)
            .map(|event| Told::new(Audience::Post(*post), ServerEvent::PostCommentUpdated(event)))
            .into_iter()
            .collect(),
        Change::CommentDeleted { comment, post } => rows
            .board_of(*post)
            .map(|board_id| {
                let event = CommentDeleted { comment_id: *comment, post_id: *post, board_id };
                Told::new(Audience::Post(*post), ServerEvent::PostCommentDeleted(event))
            })
            .into_iter()
            .collect(),
        Change::BoardCreated { board } => board_event(*board, Audience::WhoMayOpen(*board), rows, |board| {
            ServerEvent::BoardCreated(BoardCreated { board })
        }),
        Change::BoardUpdated { board, told: true, .. } => board_event(*board, Audience::Board(*board), rows, |board| {
            ServerEvent::BoardSettingsChanged(BoardChanged { board_id: board.id, board })
        }),
        Change::BoardDeleted { board, .. } => {
            vec![Told::new(Audience::Board(*board), ServerEvent::BoardDeleted(BoardGone { board_id: *board }))]
        }
        // Of one that begins as well: its people may be here, and know other flags.
        Change::CommunityCreated { community } | Change::CommunityUpdated { community, .. } => rows
            .communities
            .get(community)
            .map(|facts| {
                let event = CommunityChanged { community_id: community.clone(), features: facts.features };
                Told::new(Audience::Community(community.clone()), ServerEvent::CommunitySettingsChanged(event))
            })
            .into_iter()
            .collect(),
        Change::BoardUpdated { told: false, .. }
        | Change::CommunityDeleted { .. }
        | Change::UserDeleted { .. }
        | Change::ImportChanged { .. }
        | Change::Reset { .. } => Vec::new(),
    }
}

fn new_post(post: PostId, board: Option<BoardId>, moved: bool, rows: &Rows) -> Option<Told> {
    let row = rows.posts.get(&post).filter(|_| !rows.moving.contains(&post))?;
    let board = board.filter(|board| row.post.board_id == Some(*board))?;
    let event = NewPost { post: row.post.clone(), author: row.author.clone(), moved };
    Some(Told::second(Audience::Board(board), ServerEvent::BoardNewPost(event)))
}

fn count(change: &Change, rows: &Rows) -> Option<Told> {
    let (post, [vote_added, vote_removed, votes_changed, comments_changed]) = match *change {
        Change::VoteAdded { post } => (post, [true, false, true, false]),
        Change::VoteRemoved { post } => (post, [false, true, true, false]),
        Change::PostCounted { post, votes, comments } => (post, [false, false, votes, comments]),
        Change::CommentCreated { post, .. } => (post, [false, false, false, true]),
        _ => return None,
    };
    // Who may see the counts of that later moment is told them where the post comes to.
    let head = rows.heads.get(&post).filter(|_| !rows.moving.contains(&post))?;
    let (board, upvotes, comments) = (head.board?, head.upvotes, head.comments);
    Some(Told::Count(CountChange {
        post,
        board,
        upvotes,
        comments,
        vote_added,
        vote_removed,
        votes_changed,
        comments_changed,
    }))
}

fn comment_event(comment: CommentId, post: PostId, rows: &Rows) -> Option<CommentEvent> {
    let row = rows.comments.get(&comment).filter(|row| row.comment.post_id == post)?;
    Some(CommentEvent {
        comment: row.comment.clone(),
        author: row.author.clone(),
        post_id: post,
        board_id: rows.board_of(post)?,
    })
}

fn new_comment(comment: CommentId, post: PostId, rows: &Rows) -> Vec<Told> {
    let Some(event) = comment_event(comment, post, rows) else { return Vec::new() };
    let notifications = notifications(&event, rows);
    let mut told = vec![Told::new(Audience::Post(post), ServerEvent::PostNewComment(event))];
    told.extend(notifications);
    told
}

/// One for each user and comment: reply before mention before comment, never to the actor himself.
fn notifications(event: &CommentEvent, rows: &Rows) -> Vec<Told> {
    let (Some(actor), Some(row)) = (&event.author, rows.comments.get(&event.comment.id)) else { return Vec::new() };
    let replies = row.parent_author.iter().map(|user| (user, NotificationKind::Reply));
    let mentions = row.mentions.iter().map(|user| (user, NotificationKind::Mention));
    let author = rows.heads.get(&event.post_id).and_then(|head| head.author.as_ref());
    let comments = author.into_iter().map(|user| (user, NotificationKind::Comment));
    let mut seen = BTreeSet::from([&actor.user_id]);
    replies
        .chain(mentions)
        .chain(comments)
        .filter(|(user, _)| seen.insert(user))
        .map(|(user, kind)| {
            let notification = Notification {
                kind,
                post_id: event.post_id,
                board_id: event.board_id,
                comment_id: event.comment.id,
                actor: actor.clone(),
                excerpt: row.excerpt.clone(),
            };
            Told::second(Audience::User(user.clone(), event.board_id), ServerEvent::NotificationNew(notification))
        })
        .collect()
}

/// The board as everybody may see it, and with its settings to the admins of the community that owns it.
fn board_event(board: BoardId, audience: Audience, rows: &Rows, event: impl Fn(Board) -> ServerEvent) -> Vec<Told> {
    let Some(row) = rows.boards.get(&board) else { return Vec::new() };
    let public = Board { settings: None, ..row.board.clone() };
    let owner = row.facts.community.clone();
    let to_admins = owner.map(|of| ToAdmins { of, shown: Box::new(event(row.board.clone())) });
    vec![Told::Event { audience, event: Box::new(event(public)), to_admins, part: 0 }]
}
