//! What happens: a commit of the forum, or something that one person asks for.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use sqlx::{PgExecutor, PgPool};

use super::{
    forum::{COMMUNITIES, ROLES, Standing},
    person::Person,
    told::{To, Told},
};

pub const POST: &str =
    "INSERT INTO posts (author_user_id, title, content, board_id) VALUES ($1, 'New', '', $2) RETURNING id";

/// Boards and posts are named by their number among those that there are, people by theirs, who returns by his among those who
/// are away; a cursor by how many came behind it.
#[derive(Clone, Debug)]
pub enum Step {
    BoardRoles(usize, Vec<&'static str>),
    Malformed(usize),
    /// Behind a post in it, in one transaction.
    PostAndRoles(usize, Vec<&'static str>),
    CommunityRoles(&'static str, Vec<&'static str>),
    CommunityMalformed(&'static str),
    Import(usize, &'static str, bool),
    /// To nobody, too.
    Give(usize, Option<&'static str>),
    CreateBoard(Option<&'static str>, Vec<&'static str>),
    DeleteBoard(usize),
    DeleteCommunity(&'static str),
    /// As a sign-in does it, whether there is one or not.
    MakeCommunity(&'static str),
    Post(usize, usize),
    Edit(usize),
    Move(usize, usize),
    /// Behind a move out of the board, in one transaction or in one that follows at once.
    MoveAndRoles(usize, usize, Vec<&'static str>, bool),
    DeletePost(usize),
    Comment(usize),
    Vote(usize),
    DeleteUser(usize),
    Refresh(usize, Vec<&'static str>, bool),
    JoinBoard(usize, usize, Option<usize>),
    JoinPost(usize, usize, Option<usize>),
    JoinFeed(usize, Option<usize>),
    Leave(usize, usize),
    /// An answer to a post; and no longer.
    Write(usize, usize),
    Away(usize),
    Return(usize),
}

pub fn any_step(people: usize) -> impl Strategy<Value = Step> {
    let nth = || 0_usize..60;
    let who = move || 0..people;
    let back = || proptest::option::weighted(0.8, 0_usize..5);
    let community = || proptest::sample::select(&COMMUNITIES[..]);
    let owner = move || proptest::option::weighted(0.7, community());
    let roles = || prop_oneof![2 => Just(Vec::new()), 3 => proptest::sample::subsequence(&ROLES[..], 1..=2)];
    let rights = prop_oneof![
        3 => (nth(), roles()).prop_map(|(board, roles)| Step::BoardRoles(board, roles)),
        1 => nth().prop_map(Step::Malformed),
        2 => (nth(), roles()).prop_map(|(board, roles)| Step::PostAndRoles(board, roles)),
        3 => (nth(), nth(), roles(), any::<bool>())
            .prop_map(|(post, to, roles, together)| Step::MoveAndRoles(post, to, roles, together)),
        2 => (community(), roles()).prop_map(|(community, roles)| Step::CommunityRoles(community, roles)),
        1 => community().prop_map(Step::CommunityMalformed),
        3 => (nth(), community(), any::<bool>()).prop_map(|(board, to, active)| Step::Import(board, to, active)),
        2 => (nth(), owner()).prop_map(|(board, to)| Step::Give(board, to)),
        2 => (owner(), roles()).prop_map(|(owner, roles)| Step::CreateBoard(owner, roles)),
        1 => nth().prop_map(Step::DeleteBoard),
        1 => community().prop_map(Step::DeleteCommunity),
        2 => community().prop_map(Step::MakeCommunity),
        2 => (who(), roles(), any::<bool>()).prop_map(|(who, roles, admin)| Step::Refresh(who, roles, admin)),
        1 => who().prop_map(Step::DeleteUser),
    ];
    let content = prop_oneof![
        4 => (nth(), 0..2 * people).prop_map(|(board, author)| Step::Post(board, author)),
        1 => nth().prop_map(Step::Edit),
        2 => (nth(), nth()).prop_map(|(post, to)| Step::Move(post, to)),
        1 => nth().prop_map(Step::DeletePost),
        3 => nth().prop_map(Step::Comment),
        2 => nth().prop_map(Step::Vote),
    ];
    let asked = prop_oneof![
        6 => (who(), nth(), back()).prop_map(|(who, board, back)| Step::JoinBoard(who, board, back)),
        5 => (who(), nth(), back()).prop_map(|(who, post, back)| Step::JoinPost(who, post, back)),
        2 => (who(), back()).prop_map(|(who, back)| Step::JoinFeed(who, back)),
        2 => (who(), nth()).prop_map(|(who, nth)| Step::Leave(who, nth)),
        4 => (who(), nth()).prop_map(|(who, post)| Step::Write(who, post)),
        2 => who().prop_map(Step::Away),
        3 => who().prop_map(Step::Return),
    ];
    prop_oneof![2 => rights, 7 => content, 6 => asked]
}

fn settings(roles: &[&str]) -> Value {
    json!({"permissions": {"allowedRoles": roles}})
}

fn malformed() -> Value {
    json!({"permissions": {"allowedRoles": "crew"}})
}

impl Step {
    /// Commits it, and gives what that has to tell; `None` of what nothing is committed for.
    pub async fn write(&self, pool: &PgPool, standing: &Standing, people: &[Person]) -> Option<Vec<Told>> {
        match self {
            Self::BoardRoles(nth, roles) => set(pool, standing, standing.board(*nth)?, settings(roles)).await,
            Self::Malformed(nth) => set(pool, standing, standing.board(*nth)?, malformed()).await,
            Self::PostAndRoles(nth, roles) => {
                let board = standing.board(*nth)?;
                let mut transaction = done(pool.begin().await);
                let post = sqlx::query_scalar(POST).bind("cy").bind(board).fetch_one(&mut *transaction);
                let mut told = vec![Told::of_post("board:newPost", board, done(post.await), To::Board(board))];
                told.extend(set(&mut *transaction, standing, board, settings(roles)).await?);
                done(transaction.commit().await);
                Some(told)
            }
            Self::MoveAndRoles(nth, to, roles, together) => {
                let (post, to) = (standing.post(*nth)?, standing.board(*to)?);
                let board = standing.board_of(post)?;
                let mut told = moved(standing, post, to);
                if *together {
                    let mut transaction = done(pool.begin().await);
                    move_to(&mut *transaction, post, to).await;
                    told.extend(set(&mut *transaction, standing, board, settings(roles)).await?);
                    done(transaction.commit().await);
                } else {
                    move_to(pool, post, to).await;
                    told.extend(set(pool, standing, board, settings(roles)).await?);
                }
                Some(told)
            }
            Self::CommunityRoles(community, roles) => set_community(pool, standing, community, settings(roles)).await,
            Self::CommunityMalformed(community) => set_community(pool, standing, community, malformed()).await,
            Self::Import(nth, to, active) => {
                let import = "INSERT INTO imported_boards
                    (source_board_id, source_community_id, importing_community_id, imported_by_user_id, is_active)
                    SELECT id, coalesce(community_id, ''), $2, 'ada', $3 FROM boards WHERE id = $1
                    ON CONFLICT (importing_community_id, source_board_id) DO UPDATE SET is_active = EXCLUDED.is_active";
                done(sqlx::query(import).bind(standing.board(*nth)?).bind(to).bind(active).execute(pool).await);
                Some(Vec::new())
            }
            Self::Give(_, Some(to)) | Self::CreateBoard(Some(to), _) if !standing.communities.contains_key(*to) => None,
            Self::Give(nth, to) => {
                let give = sqlx::query("UPDATE boards SET community_id = $2 WHERE id = $1");
                done(give.bind(standing.board(*nth)?).bind(to).execute(pool).await);
                Some(Vec::new())
            }
            Self::CreateBoard(community, roles) => {
                let insert = "INSERT INTO boards (community_id, name, settings)
                    VALUES ($1, 'Board ' || gen_random_uuid(), $2) RETURNING id";
                let settings = settings(roles);
                let insert = sqlx::query_scalar(insert).bind(community).bind(&settings);
                let board = done(insert.fetch_one(pool).await);
                let told = Told::of_board("board:created", board, To::WhoMayOpen(board));
                Some(vec![told.showing(&settings, *community)])
            }
            // Some remain, so that there is something to see.
            Self::DeleteBoard(_) if standing.boards.len() < 3 => None,
            Self::DeleteBoard(nth) => {
                let board = standing.board(*nth)?;
                done(sqlx::query("DELETE FROM boards WHERE id = $1").bind(board).execute(pool).await);
                Some(vec![Told::of_board("board:deleted", board, To::Board(board))])
            }
            Self::DeleteCommunity(community) => delete_community(pool, standing, community).await,
            Self::MakeCommunity(community) => {
                let upsert = "INSERT INTO communities (id, name) VALUES ($1, 'Made anew')
                    ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, updated_at = NOW()";
                done(sqlx::query(upsert).bind(community).execute(pool).await);
                let begins = !standing.communities.contains_key(*community);
                Some(begins.then(|| settings_told(community)).into_iter().collect())
            }
            Self::DeleteUser(who) => {
                let user = &people[*who].user;
                done(sqlx::query("DELETE FROM users WHERE user_id = $1").bind(user).execute(pool).await);
                let his: BTreeSet<_> =
                    standing.posts.iter().filter(|(_, (_, author))| author == user).map(|(post, _)| *post).collect();
                Some(his.into_iter().filter_map(|post| deleted(standing, post)).collect())
            }
            Self::Post(nth, author) => {
                let (board, author) = (standing.board(*nth)?, people.get(*author).filter(|author| author.exists));
                let author = author.map_or("cy", |author| &author.user);
                let post = done(sqlx::query_scalar(POST).bind(author).bind(board).fetch_one(pool).await);
                Some(vec![Told::of_post("board:newPost", board, post, To::Board(board))])
            }
            Self::Edit(..) | Self::Move(..) | Self::DeletePost(..) | Self::Comment(..) | Self::Vote(..) => {
                self.write_of_post(pool, standing).await
            }
            Self::Refresh(..)
            | Self::JoinBoard(..)
            | Self::JoinPost(..)
            | Self::JoinFeed(..)
            | Self::Leave(..)
            | Self::Write(..)
            | Self::Away(_)
            | Self::Return(_) => None,
        }
    }

    async fn write_of_post(&self, pool: &PgPool, standing: &Standing) -> Option<Vec<Told>> {
        let (Self::Edit(nth) | Self::Move(nth, _) | Self::DeletePost(nth) | Self::Comment(nth) | Self::Vote(nth)) =
            self
        else {
            return None;
        };
        let post = standing.post(*nth)?;
        let (board, author) = &standing.posts[&post];
        let board = *board;
        let of_board = |name| Told::of_post(name, board, post, To::Board(board));
        Some(match self {
            Self::Edit(_) => {
                let edit = sqlx::query("UPDATE posts SET title = left(title || '.', 100) || '!' WHERE id = $1");
                done(edit.bind(post).execute(pool).await);
                vec![Told::of_post("board:postUpdated", board, post, To::BoardAndPost(board, post))]
            }
            Self::Move(_, nth) => {
                let to = standing.board(*nth)?;
                move_to(pool, post, to).await;
                moved(standing, post, to)
            }
            Self::DeletePost(_) => {
                done(sqlx::query("DELETE FROM posts WHERE id = $1").bind(post).execute(pool).await);
                deleted(standing, post).into_iter().collect()
            }
            Self::Comment(_) => {
                let insert = "INSERT INTO comments (post_id, author_user_id, content) VALUES ($1, 'cy', 'Text')
                    RETURNING id";
                let comment = done(sqlx::query_scalar(insert).bind(post).fetch_one(pool).await);
                let notified = Told::of_post("notification:new", board, post, To::User(author.clone(), board));
                let mut told = vec![Told::of_post("post:newComment", board, post, To::Post(post)).with(comment)];
                // Nobody is told of what he wrote himself.
                told.extend((author != "cy").then(|| notified.with(comment)));
                told.push(of_board("post:commentCountChanged").with(0));
                told
            }
            _ => {
                let vote = "UPDATE posts SET upvote_count = upvote_count + 1 WHERE id = $1 RETURNING upvote_count";
                let count = done(sqlx::query_scalar(vote).bind(post).fetch_one(pool).await);
                vec![of_board("post:voteChanged").with(count)]
            }
        })
    }
}

async fn move_to(by: impl PgExecutor<'_>, post: i32, to: i32) {
    let set = sqlx::query("UPDATE posts SET board_id = $2 WHERE id = $1");
    done(set.bind(post).bind(to).execute(by).await);
}

fn moved(standing: &Standing, post: i32, to: i32) -> Vec<Told> {
    let from = standing.board_of(post).filter(|from| *from != to);
    let told = |from| {
        let left = Told::of_post("board:postDeleted", from, post, To::Board(from));
        vec![left, Told::of_post("board:newPost", to, post, To::Board(to))]
    };
    from.map(told).unwrap_or_default()
}

async fn set(to: impl PgExecutor<'_>, standing: &Standing, board: i32, settings: Value) -> Option<Vec<Told>> {
    let update = sqlx::query("UPDATE boards SET settings = $2 WHERE id = $1");
    done(update.bind(board).bind(&settings).execute(to).await);
    let (owner, before) = &standing.boards[&board];
    let told = Told::of_board("board:settingsChanged", board, To::Board(board)).showing(&settings, owner.as_deref());
    Some((*before != settings).then_some(told).into_iter().collect())
}

async fn set_community(pool: &PgPool, standing: &Standing, community: &str, settings: Value) -> Option<Vec<Told>> {
    let was = standing.communities.get(community)?;
    let update = sqlx::query("UPDATE communities SET settings = $2 WHERE id = $1");
    done(update.bind(community).bind(&settings).execute(pool).await);
    Some((*was != settings).then(|| settings_told(community)).into_iter().collect())
}

fn settings_told(community: &str) -> Told {
    let to = Some(To::Community(community.to_owned()));
    Told { name: "community:settingsChanged".to_owned(), to, ..Told::default() }
}

/// With its boards; others remain, so that there is something to see.
async fn delete_community(pool: &PgPool, standing: &Standing, community: &str) -> Option<Vec<Told>> {
    standing.communities.get(community)?;
    let owned = standing.boards.iter().filter(|(_, (owner, _))| owner.as_deref() == Some(community));
    let told: Vec<Told> = owned.map(|(board, _)| Told::of_board("board:deleted", *board, To::Board(*board))).collect();
    if standing.boards.len() < told.len() + 2 {
        return None;
    }
    done(sqlx::query("DELETE FROM communities WHERE id = $1").bind(community).execute(pool).await);
    Some(told)
}

fn deleted(standing: &Standing, post: i32) -> Option<Told> {
    let board = standing.board_of(post)?;
    Some(Told::of_post("board:postDeleted", board, post, To::BoardAndPost(board, post)))
}

fn done<T>(outcome: Result<T, sqlx::Error>) -> T {
    outcome.expect("a statement of the forum")
}
