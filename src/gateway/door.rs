//! Who is no longer let in although his token is good.

use super::{Gateway, unavailable};
use crate::{
    actor::Actor,
    contract::{ErrorCode, Failure},
    ports::FactStore,
};

impl<F: FactStore> Gateway<F> {
    /// Refuses whoever was deleted and is not there again. The database is asked only about those who are known to have been
    /// deleted, so that everybody can come at once.
    pub(super) async fn require_user(&self, actor: &Actor) -> Result<(), Failure> {
        if !self.versions.has_departed(&actor.user) {
            return Ok(());
        }
        let exists = self.facts.user_exists(actor.user.clone()).await.map_err(|error| unavailable(error.into()))?;
        if exists {
            return Ok(());
        }
        Err(Failure::new(ErrorCode::AuthInvalid, "the user of this token no longer exists"))
    }
}
