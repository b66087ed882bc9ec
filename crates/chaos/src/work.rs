//! The forum's statements, drawn at random: what is committed, rolled back, left open for a while.

use std::{collections::HashMap, time::Duration};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tokio::{sync::watch, time::sleep};
use tokio_postgres::{Client, Error, NoTls, Row, Statement, types::ToSql};

use crate::people::{BOARDS, DOOR, POSTS};

macro_rules! forum {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sql/demo/", $name, ".sql"))
    };
}
macro_rules! ours {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/writers/", $name, ".sql"))
    };
}

mod door;

pub use self::door::keep_the_door;

const LOST_CONNECTION: Duration = Duration::from_millis(150);
const MADE_BOARDS: i64 = 4;

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One session of the forum.
pub struct Writer {
    number: u64,
    draw: ChaCha8Rng,
    /// Texts are numbered, so that each is unique.
    written: u64,
    session: Session,
}

struct Session {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

impl Session {
    async fn open(url: &str) -> Result<Self, Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        // An error of the connection is told to whoever asks with the client.
        tokio::spawn(connection);
        client.batch_execute("SET lock_timeout = '4s'; SET deadlock_timeout = '200ms'").await?;
        Ok(Self { client, statements: HashMap::new() })
    }

    async fn query(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        let statement = match self.statements.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = self.client.prepare(sql).await?;
                self.statements.insert(sql, statement.clone());
                statement
            }
        };
        self.client.query(&statement, parameters).await
    }

    async fn first(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, parameters).await?.into_iter().next())
    }
}

/// Writes until told to stop, in as many sessions as the server takes away. A commit whose answer was lost is not asked for:
/// the history knows.
pub async fn write(number: u64, mut draw: ChaCha8Rng, url: String, mut stop: watch::Receiver<bool>) {
    let mut written = 0;
    while !*stop.borrow_and_update() {
        let Ok(session) = Session::open(&url).await else {
            sleep(LOST_CONNECTION).await;
            continue;
        };
        let mut writer = Writer { number, draw, written, session };
        while !*stop.borrow_and_update() {
            if writer.transaction().await.is_err() && writer.session.client.is_closed() {
                break;
            }
            sleep(Duration::from_millis(writer.draw.random_range(2..30))).await;
        }
        (draw, written) = (writer.draw, writer.written);
    }
}

/// Holds a transaction open that changes nothing anybody waits for, again and again.
pub async fn linger(mut draw: ChaCha8Rng, url: String, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow_and_update() {
        if let Ok(session) = Session::open(&url).await {
            let _ = session.client.batch_execute("BEGIN; SELECT pg_current_xact_id()").await;
            let lasting = Duration::from_millis(draw.random_range(500..5_000));
            tokio::select! {
                () = sleep(lasting) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            let _ = session.client.batch_execute("COMMIT").await;
        }
        sleep(LOST_CONNECTION).await;
    }
}

impl Writer {
    async fn transaction(&mut self) -> Result<(), Error> {
        self.session.client.batch_execute("BEGIN").await?;
        let done = self.changes().await;
        let end = match done {
            Ok(()) if self.draw.random_bool(0.06) => "ROLLBACK",
            Ok(()) => "COMMIT",
            Err(_) => "ROLLBACK",
        };
        if self.draw.random_bool(0.05) {
            sleep(Duration::from_millis(self.draw.random_range(50..600))).await;
        }
        self.session.client.batch_execute(end).await?;
        done
    }

    async fn changes(&mut self) -> Result<(), Error> {
        match self.draw.random_range(0..1_000) {
            0..30 => return self.rights_of_a_board().await,
            30..36 => return self.rights_of_a_community().await,
            36..46 => return self.import().await,
            46..52 => return self.board_begins().await,
            52..56 => return self.board_ends().await,
            56..70 => return self.board_renamed().await,
            _ => {}
        }
        let changes = if self.draw.random_bool(0.15) { self.draw.random_range(2..5) } else { 1 };
        for _ in 0..changes {
            if self.draw.random_bool(0.08) {
                self.session.client.batch_execute("SAVEPOINT attempt").await?;
                let done = self.content().await;
                if done.is_err() || self.draw.random_bool(0.5) {
                    self.session.client.batch_execute("ROLLBACK TO SAVEPOINT attempt").await?;
                }
            } else {
                self.content().await?;
            }
        }
        Ok(())
    }

    async fn content(&mut self) -> Result<(), Error> {
        match self.draw.random_range(0..100) {
            0..16 => self.post().await,
            16..34 => self.edit().await,
            34..60 => self.vote().await,
            60..68 => self.unvote().await,
            68..84 => self.comment().await,
            84..89 => self.comment_edited().await,
            89..92 => self.comment_deleted().await,
            92..95 => self.post_deleted().await,
            95..98 => self.moved().await,
            _ => self.embedded().await,
        }
    }

    fn text(&mut self) -> String {
        self.written += 1;
        format!("w{}.{}", self.number, self.written)
    }

    fn user(&mut self) -> String {
        format!("w{}", self.draw.random_range(1..=200))
    }

    fn roles(&mut self) -> String {
        let chosen: Vec<&str> =
            ["\"r1\"", "\"r2\"", "\"r3\""].into_iter().filter(|_| self.draw.random_bool(0.4)).collect();
        format!("[{}]", chosen.join(","))
    }

    /// A post and its board, which stays open or closed to whom it is until we commit.
    async fn a_post(&mut self) -> Result<Option<(i32, i32)>, Error> {
        let row = if self.draw.random_bool(0.35) {
            let post = self.draw.random_range(1..=POSTS);
            self.session.first(ours!("pick_old_post"), &[&post]).await?
        } else {
            let back = self.draw.random_range(0..40_i64);
            self.session.first(ours!("pick_post"), &[&back]).await?
        };
        let Some(row) = row else { return Ok(None) };
        let (post, Some(board)) = (row.get::<_, i32>(0), row.get::<_, Option<i32>>(1)) else { return Ok(None) };
        self.session.query(ours!("lock_shared"), &[&board]).await?;
        let stands = self.session.first(ours!("stands_in"), &[&post, &board]).await?;
        Ok(stands.map(|_| (post, board)))
    }

    async fn a_board(&mut self) -> Result<Option<i32>, Error> {
        let back = self.draw.random_range(0..i64::from(BOARDS));
        let board = self.session.first(ours!("pick_board"), &[&back]).await?.map(|row| row.get(0));
        // The door has a keeper of its own.
        Ok(board.filter(|board| *board != DOOR))
    }

    /// A comment, in the same way.
    async fn a_comment(&mut self) -> Result<Option<i32>, Error> {
        let back = self.draw.random_range(0..30_i64);
        let Some(row) = self.session.first(ours!("pick_comment"), &[&back]).await? else { return Ok(None) };
        let (comment, Some(board)) = (row.get::<_, i32>(0), row.get::<_, Option<i32>>(1)) else { return Ok(None) };
        self.session.query(ours!("lock_shared"), &[&board]).await?;
        let stands = self.session.first(ours!("comment_stands_in"), &[&comment, &board]).await?;
        Ok(stands.map(|_| comment))
    }

    async fn post(&mut self) -> Result<(), Error> {
        let Some(board) = self.a_board().await? else { return Ok(()) };
        self.session.query(ours!("lock_shared"), &[&board]).await?;
        let (user, text) = (self.user(), self.text());
        let tags = vec!["kelp".to_owned()];
        self.session.query(forum!("post_insert"), &[&user, &text, &"as it was", &tags, &board]).await.map(drop)
    }

    async fn edit(&mut self) -> Result<(), Error> {
        let Some((post, _)) = self.a_post().await? else { return Ok(()) };
        let text = self.text();
        self.session.query(forum!("post_edit"), &[&post, &text, &None::<String>]).await.map(drop)
    }

    async fn vote(&mut self) -> Result<(), Error> {
        let Some((post, _)) = self.a_post().await? else { return Ok(()) };
        let user = self.user();
        // A second vote of the same user fails here, and takes the transaction along.
        self.session.query(forum!("vote_insert"), &[&user, &post]).await?;
        self.session.query(forum!("upvote_count_raise"), &[&post]).await.map(drop)
    }

    async fn unvote(&mut self) -> Result<(), Error> {
        let Some((post, _)) = self.a_post().await? else { return Ok(()) };
        let back = self.draw.random_range(0..5_i64);
        let Some(vote) = self.session.first(ours!("pick_vote"), &[&post, &back]).await? else { return Ok(()) };
        let user: String = vote.get(0);
        if self.session.client.execute(forum!("vote_delete"), &[&user, &post]).await? > 0 {
            self.session.query(forum!("upvote_count_lower"), &[&post]).await?;
        }
        Ok(())
    }

    async fn comment(&mut self) -> Result<(), Error> {
        let Some((post, _)) = self.a_post().await? else { return Ok(()) };
        let (user, text) = (self.user(), self.text());
        self.session.query(forum!("comment_insert"), &[&post, &user, &None::<i32>, &text]).await?;
        self.session.query(forum!("comment_count_raise"), &[&post]).await.map(drop)
    }

    async fn comment_edited(&mut self) -> Result<(), Error> {
        let Some(comment) = self.a_comment().await? else { return Ok(()) };
        let text = self.text();
        self.session.query(forum!("comment_edit"), &[&comment, &text]).await.map(drop)
    }

    async fn comment_deleted(&mut self) -> Result<(), Error> {
        let Some(comment) = self.a_comment().await? else { return Ok(()) };
        self.session.query(forum!("comment_delete"), &[&comment]).await.map(drop)
    }

    async fn post_deleted(&mut self) -> Result<(), Error> {
        match self.a_post().await? {
            Some((post, _)) if post > POSTS => self.session.query(forum!("post_delete"), &[&post]).await.map(drop),
            _ => Ok(()),
        }
    }

    async fn moved(&mut self) -> Result<(), Error> {
        let (Some((post, from)), Some(to)) = (self.a_post().await?, self.a_board().await?) else { return Ok(()) };
        if from == to {
            return Ok(());
        }
        self.session.query(ours!("lock_shared"), &[&to]).await?;
        self.session.query(forum!("post_move"), &[&to, &post]).await.map(drop)
    }

    async fn embedded(&mut self) -> Result<(), Error> {
        let Some((post, _)) = self.a_post().await? else { return Ok(()) };
        self.session.query(ours!("embed"), &[&post]).await.map(drop)
    }

    /// Nobody writes into the board, and nobody else changes rights, until we commit.
    async fn alone_with(&mut self, board: i32) -> Result<(), Error> {
        self.session.query(ours!("lock_rights"), &[]).await?;
        self.session.query(ours!("lock_alone"), &[&board]).await.map(drop)
    }

    async fn rights_of_a_board(&mut self) -> Result<(), Error> {
        let Some(board) = self.a_board().await? else { return Ok(()) };
        self.alone_with(board).await?;
        let roles = self.roles();
        self.session.query(ours!("board_roles"), &[&board, &roles]).await.map(drop)
    }

    async fn rights_of_a_community(&mut self) -> Result<(), Error> {
        let community = if self.draw.random_bool(0.5) { "a" } else { "b" };
        let roles = if self.draw.random_bool(0.6) { "[]".to_owned() } else { self.roles() };
        self.session.query(ours!("lock_rights"), &[]).await?;
        for row in self.session.query(ours!("boards_shown"), &[&community]).await? {
            self.session.query(ours!("lock_alone"), &[&row.get::<_, i32>(0)]).await?;
        }
        self.session.query(ours!("community_roles"), &[&community, &roles]).await.map(drop)
    }

    async fn import(&mut self) -> Result<(), Error> {
        let Some(board) = self.a_board().await? else { return Ok(()) };
        self.alone_with(board).await?;
        let active = self.draw.random_bool(0.6);
        self.session.query(ours!("import_set"), &[&board, &active]).await.map(drop)
    }

    async fn board_begins(&mut self) -> Result<(), Error> {
        let community = if self.draw.random_bool(0.5) { "a" } else { "b" };
        let (name, roles) = (self.text(), self.roles());
        self.session.query(ours!("lock_rights"), &[]).await?;
        if self.session.first(ours!("pick_made_board"), &[&MADE_BOARDS]).await?.is_some() {
            return Ok(());
        }
        self.session.query(ours!("board_create"), &[&community, &name, &roles]).await.map(drop)
    }

    async fn board_ends(&mut self) -> Result<(), Error> {
        let back = self.draw.random_range(0..MADE_BOARDS);
        let Some(row) = self.session.first(ours!("pick_made_board"), &[&back]).await? else { return Ok(()) };
        let board: i32 = row.get(0);
        self.alone_with(board).await?;
        self.session.query(forum!("board_delete"), &[&board]).await.map(drop)
    }

    async fn board_renamed(&mut self) -> Result<(), Error> {
        let Some(board) = self.a_board().await? else { return Ok(()) };
        self.alone_with(board).await?;
        let name = self.text();
        self.session.query(ours!("board_rename"), &[&board, &name]).await.map(drop)
    }
}
