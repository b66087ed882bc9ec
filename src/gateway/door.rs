//! Who is no longer let in although his token is good.

use super::Gateway;
use crate::{
    actor::Actor,
    contract::{ErrorCode, Failure},
    ports::FactStore,
    versions::Subject,
};

impl<F: FactStore> Gateway<F> {
    /// Refuses whoever was deleted and is not there again. The database is asked only about those who are known to have been
    /// deleted, so that everybody can come at once; where nobody knows any longer who was, about each who comes, once.
    pub(super) async fn require_user(&self, actor: &Actor) -> Result<(), Failure> {
        if !self.versions.may_have_departed(&actor.user) {
            return Ok(());
        }
        let key = (actor.user.clone(), self.versions.of(Subject::User(&actor.user)));
        let asked = Box::pin(self.facts.user_exists(actor.user.clone()));
        if self.users.try_get_with(key.clone(), asked).await.map_err(|error| self.unavailable(error))? {
            return Ok(());
        }
        // That one comes again is noted by no trigger.
        self.users.invalidate(&key).await;
        Err(Failure::new(ErrorCode::AuthInvalid, "the user of this token no longer exists"))
    }
}
