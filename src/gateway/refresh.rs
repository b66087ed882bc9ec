//! Another token for a socket that stays.

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::{Gateway, TRIES, restless, stopping};
use crate::{
    actor::Actor,
    contract::Failure,
    dispatch::{Refresh, Request},
    ids::SocketKey,
    ports::FactStore,
    versions::Subject,
};

impl<F: FactStore> Gateway<F> {
    /// Lets the socket speak for `actor`, who is the same user of the same community, from now on. It has been told what it
    /// lost and gained when this resolves; after a failure everything is as before.
    pub async fn refresh(&self, key: SocketKey, actor: &Actor, at: DateTime<Utc>) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let basis = self.versions.basis(&[Subject::Community(&actor.community)]);
            let community = self.community_facts(&actor.community).await?.map(|facts| facts.as_ref().clone());
            let boards = self.shown_in(&actor.community, None).await?;
            let (reply, answer) = oneshot::channel();
            let refresh = Box::new(Refresh { key, actor: actor.clone(), community, boards, basis, at });
            self.send(Request::Refresh { refresh, reply }).await?;
            // Else rights changed meanwhile: they are looked up anew.
            if let Ok(()) = answer.await.map_err(|_| stopping())? {
                self.facts.closed(key);
                return Ok(());
            }
        }
        Err(restless())
    }
}
