//! `--simulate`: members who post, comment, vote, and now and then edit or delete.
//!
//! One task, one action at a time, through the same statements as everybody. It changes only what it wrote itself, never
//! something a visitor wrote or answered, and it remembers and keeps a bounded number of its own posts and comments, so
//! that a demo left open for days stays a small forum.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Deserialize;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::error::DemoError;
use super::forum;
use super::people::{DemoUser, PEOPLE, REGULARS};
use super::rows::{BoardRow, PostRow};

const TEXTS: &str = include_str!("crowd.json");
/// How many of its own the crowd keeps before it deletes the oldest.
const POSTS_KEPT: usize = 24;
const COMMENTS_KEPT: usize = 120;
/// Votes it may still take back.
const VOTES_REMEMBERED: usize = 200;
/// After a failure of the database.
const REST: Duration = Duration::from_secs(2);

/// What the crowd has to say.
#[derive(Deserialize)]
struct Texts {
    /// Title and content, by community.
    posts: BTreeMap<String, Vec<(String, String)>>,
    comments: Vec<String>,
    replies: Vec<String>,
    edits: Vec<String>,
}

struct Written {
    id: i32,
    author: &'static DemoUser,
    edited: bool,
}

struct Crowd {
    pool: PgPool,
    texts: Texts,
    dice: Dice,
    posts: VecDeque<Written>,
    comments: VecDeque<(i32, i32)>,
    votes: VecDeque<(&'static DemoUser, i32)>,
}

/// Keeps the forum busy until `cancel` is cancelled.
///
/// A database that fails is reported once and tried again; the only error is malformed texts, before anything begins.
pub async fn simulate(pool: PgPool, cancel: CancellationToken) -> Result<(), DemoError> {
    let mut crowd = Crowd {
        pool,
        texts: serde_json::from_str(TEXTS).map_err(DemoError::Texts)?,
        dice: Dice(0x5eed_cafe_f00d_d1ce),
        posts: VecDeque::new(),
        comments: VecDeque::new(),
        votes: VecDeque::new(),
    };
    let mut failing = false;
    loop {
        let pause = Duration::from_millis(60 + u64::from(crowd.dice.below(340)));
        let pause = if failing { REST } else { pause };
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        match crowd.act().await {
            Ok(()) => failing = false,
            Err(error @ DemoError::Database(_)) => {
                if !failing {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the demo's crowd waits for the database");
                }
                failing = true;
            }
            // Somebody was faster: the post is gone, the board closed, the vote already there.
            Err(error) => tracing::debug!(%error, "the demo's crowd was refused"),
        }
    }
}

impl Crowd {
    async fn act(&mut self) -> Result<(), DemoError> {
        if self.posts.len() > POSTS_KEPT {
            return self.delete_oldest_post().await;
        }
        if self.comments.len() > COMMENTS_KEPT {
            return self.delete_oldest_comment().await;
        }
        let person = self.anybody();
        let Some(board) = self.board_of(person).await? else { return Ok(()) };
        match self.dice.below(100) {
            0..52 => self.vote(person, &board).await,
            52..62 => self.take_back_vote().await,
            62..88 => self.comment(person, &board).await,
            88..92 => self.post(person, &board).await,
            92..96 => self.edit().await,
            96..99 => self.delete_oldest_comment().await,
            _ => self.delete_oldest_post().await,
        }
    }

    fn anybody(&mut self) -> &'static DemoUser {
        let index = self.dice.below_len(PEOPLE.len() + REGULARS.len());
        PEOPLE.get(index).unwrap_or_else(|| &REGULARS[index - PEOPLE.len()])
    }

    async fn board_of(&mut self, person: &DemoUser) -> Result<Option<BoardRow>, DemoError> {
        let mut boards = forum::boards(&self.pool, person.community_id).await?;
        boards.retain(|board| board.is_open_to(person));
        if boards.is_empty() {
            return Ok(None);
        }
        let index = self.dice.below_len(boards.len());
        Ok(Some(boards.swap_remove(index)))
    }

    /// A post of the board; the newer, the likelier.
    async fn post_on(&mut self, person: &DemoUser, board: &BoardRow) -> Result<Option<PostRow>, DemoError> {
        let mut posts = forum::posts(&self.pool, person, board.id).await?;
        if posts.is_empty() {
            return Ok(None);
        }
        let reach = 1 + self.dice.below_len(posts.len());
        let index = self.dice.below_len(reach);
        Ok(Some(posts.swap_remove(index)))
    }

    async fn vote(&mut self, person: &'static DemoUser, board: &BoardRow) -> Result<(), DemoError> {
        let Some(post) = self.post_on(person, board).await? else { return Ok(()) };
        if post.voted {
            return Ok(());
        }
        forum::vote(&self.pool, person, post.id).await?;
        self.votes.push_back((person, post.id));
        if self.votes.len() > VOTES_REMEMBERED {
            self.votes.pop_front();
        }
        Ok(())
    }

    async fn take_back_vote(&mut self) -> Result<(), DemoError> {
        let Some((person, post_id)) = self.votes.pop_front() else { return Ok(()) };
        forum::unvote(&self.pool, person, post_id).await.map(drop)
    }

    async fn comment(&mut self, person: &'static DemoUser, board: &BoardRow) -> Result<(), DemoError> {
        let Some(post) = self.post_on(person, board).await? else { return Ok(()) };
        let others = forum::comments(&self.pool, post.id).await?;
        let answered = match others.len() {
            0 => None,
            count if self.dice.below(3) == 0 => Some(others[self.dice.below_len(count)].id),
            _ => None,
        };
        let lines = if answered.is_some() { &self.texts.replies } else { &self.texts.comments };
        let line = &lines[self.dice.below_len(lines.len())];
        let id = forum::write_comment(&self.pool, person, post.id, answered, line).await?;
        self.comments.push_back((id, post.id));
        Ok(())
    }

    async fn post(&mut self, person: &'static DemoUser, board: &BoardRow) -> Result<(), DemoError> {
        let Some(texts) = self.texts.posts.get(&board.community_id) else { return Ok(()) };
        let (title, content) = &texts[self.dice.below_len(texts.len())];
        let id = forum::write_post(&self.pool, person, board.id, title, content, &[]).await?;
        self.posts.push_back(Written { id, author: person, edited: false });
        Ok(())
    }

    async fn edit(&mut self) -> Result<(), DemoError> {
        let Some(post) = self.posts.iter_mut().rev().find(|post| !post.edited) else { return Ok(()) };
        post.edited = true;
        let stored = forum::open_post(&self.pool, post.author, post.id).await?;
        let line = &self.texts.edits[self.dice.below_len(self.texts.edits.len())];
        let content = format!("{}\n\n{line}", stored.content);
        forum::edit_post(&self.pool, post.id, None, Some(&content)).await
    }

    async fn delete_oldest_post(&mut self) -> Result<(), DemoError> {
        let Some(post) = self.posts.pop_front() else { return Ok(()) };
        let comments = forum::comments(&self.pool, post.id).await?;
        let all_ours = comments.iter().all(|comment| self.comments.iter().any(|(id, _)| *id == comment.id));
        if all_ours { forum::delete_post(&self.pool, post.id).await } else { Ok(()) }
    }

    async fn delete_oldest_comment(&mut self) -> Result<(), DemoError> {
        let Some((id, post_id)) = self.comments.pop_front() else { return Ok(()) };
        let thread = forum::comments(&self.pool, post_id).await?;
        let answered = thread.iter().any(|comment| comment.parent_comment_id == Some(id));
        if answered { Ok(()) } else { forum::delete_comment(&self.pool, id).await }
    }
}

/// xorshift64*: the crowd needs variety, not secrets, and the same crowd every time is easier to talk about.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// From 0 to `bound - 1`; 0 where there is nothing to choose.
    fn below(&mut self, bound: u32) -> u32 {
        self.next() % bound.max(1)
    }

    fn below_len(&mut self, length: usize) -> usize {
        self.next() as usize % length.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::people::COMMUNITIES;

    #[test]
    fn the_crowd_has_something_to_say_in_every_community() {
        let texts: Texts = serde_json::from_str(TEXTS).unwrap();
        for community in COMMUNITIES {
            assert!(!texts.posts[community.id].is_empty(), "{}", community.id);
        }
        assert!(!texts.comments.is_empty() && !texts.replies.is_empty() && !texts.edits.is_empty());
    }
}
