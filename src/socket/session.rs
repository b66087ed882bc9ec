//! How long a socket is good: its token's life, and another token for it.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, to_value};
use tokio::time::sleep;

use super::handlers::Doors;
use crate::{
    actor::Actor,
    command::Token,
    contract::{ErrorCode, Failure, ServerEvent, SessionExpiring, SessionRefreshed},
    frame::Frame,
    ids::SocketKey,
    ports::FactStore,
};

/// So long before its end a session is told of it.
const AHEAD: TimeDelta = TimeDelta::seconds(60);

/// What is left of a token's life.
pub(super) struct Life {
    expires_at: DateTime<Utc>,
    /// Whether its end was told ahead.
    told: bool,
}

impl Life {
    pub(super) fn until(expires_at: DateTime<Utc>) -> Self {
        Self { expires_at, told: false }
    }

    /// Resolves when it is over. Tells the socket ahead, once and at once where less is left. Cancelling it is safe.
    async fn over<F>(&mut self, doors: &Doors<F>, key: SocketKey) {
        if !self.told {
            until(self.expires_at - AHEAD).await;
            self.told = true;
            let event = ServerEvent::SessionExpiring(SessionExpiring { expires_at: self.expires_at });
            doors.members.tell(key, &Frame::ephemeral(event));
        }
        until(self.expires_at).await;
    }

    /// What comes within the session's life; `None` when that is over, and the socket has been told so.
    pub(super) async fn bounds<F, T>(
        &mut self,
        doors: &Doors<F>,
        key: SocketKey,
        coming: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            () = self.over(doors, key) => {
                doors.members.expire(key);
                None
            }
            came = coming => Some(came),
        }
    }
}

/// By the clock of the day, which may be set while it is waited for.
async fn until(moment: DateTime<Utc>) {
    while let Some(left) = (moment - Utc::now()).to_std().ok().filter(|left| !left.is_zero()) {
        sleep(left).await;
    }
}

/// Whom the socket speaks for with the new token, once its rights are those of that token.
pub(super) async fn refreshed<F: FactStore>(
    doors: &Doors<F>,
    key: SocketKey,
    actor: &Actor,
    token: &Token,
) -> Result<Actor, Failure> {
    let now = Utc::now();
    let renewed = doors.verifier.verify(&token.0, now)?;
    if (&renewed.user, &renewed.community) != (&actor.user, &actor.community) {
        let message = "the token is of another user or community; connect with it instead";
        return Err(Failure::new(ErrorCode::Forbidden, message));
    }
    doors.gateway.refresh(key, &renewed, now).await?;
    Ok(renewed)
}

/// What is answered.
pub(super) fn answer(actor: &Actor) -> Result<Value, Failure> {
    to_value(SessionRefreshed { expires_at: actor.expires_at }).map_err(|error| {
        tracing::error!(%error, "an answer could not be encoded");
        Failure::new(ErrorCode::Unavailable, "the answer could not be made; try again")
    })
}
