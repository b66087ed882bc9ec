//! Who is here, and who writes: asked of the dispatcher with the right to.

use serde_json::{Value, to_value};
use tokio::sync::oneshot;

use super::{Gateway, TRIES, refusal, restless, stopping};
use crate::{
    actor::Actor,
    contract::{Empty, ErrorCode, Failure},
    dispatch::{Attending, NotListed, NotTyping, Request},
    ids::{BoardId, PostId, SocketKey},
    ports::FactStore,
    versions::{Basis, Subject},
};

impl<F: FactStore> Gateway<F> {
    /// `presence:list`; of a board for whom it is open, as for a join.
    pub(super) async fn list(&self, key: SocketKey, actor: &Actor, board: Option<BoardId>) -> Result<Value, Failure> {
        for _ in 0..TRIES {
            let permitted = match board {
                None => None,
                Some(board) => {
                    let basis = self.versions.basis(&[Subject::Board(board), Subject::Community(&actor.community)]);
                    let permit = self.permit(actor, board).await?.map_err(|denied| refusal(denied, "board"))?;
                    Some((permit, basis))
                }
            };
            let (reply, answer) = oneshot::channel();
            self.send(Request::Attend(Attending::List { key, board: permitted, reply })).await?;
            match answer.await.map_err(|_| stopping())? {
                Ok(listed) => return encoded(&listed),
                Err(NotListed::Refused(failure)) => return Err(failure),
                Err(NotListed::Stale(_)) => {}
            }
        }
        Err(restless())
    }

    /// `typing:start`; the database is asked only about a post that the socket has not joined.
    pub(super) async fn start_typing(&self, key: SocketKey, actor: &Actor, post: PostId) -> Result<Value, Failure> {
        let mut board = None;
        for _ in 0..TRIES {
            let (reply, answer) = oneshot::channel();
            self.send(Request::Attend(Attending::Start { key, post, board, reply })).await?;
            match answer.await.map_err(|_| stopping())? {
                Ok(()) => return encoded(&Empty {}),
                Err(NotTyping::Refused(failure)) => return Err(failure),
                Err(NotTyping::Where) => board = Some(self.locate(actor, post).await?),
            }
        }
        Err(restless())
    }

    /// `typing:stop`
    pub(super) async fn stop_typing(&self, key: SocketKey, post: PostId) -> Result<Value, Failure> {
        self.send(Request::Attend(Attending::Stop { key, post })).await?;
        encoded(&Empty {})
    }

    /// Whether there is such a post does not show: it is not joined either way.
    async fn locate(&self, actor: &Actor, post: PostId) -> Result<(BoardId, Basis), Failure> {
        let basis = self.versions.basis(&[Subject::Post(post), Subject::Community(&actor.community)]);
        match self.board_of(actor, post).await? {
            Some(board) => Ok((board, basis)),
            None => Err(Failure::new(ErrorCode::Forbidden, "join the post or its board first")),
        }
    }
}

fn encoded(answer: &impl serde::Serialize) -> Result<Value, Failure> {
    to_value(answer).map_err(|error| {
        tracing::error!(%error, "an answer could not be encoded");
        stopping()
    })
}
