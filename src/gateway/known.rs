//! Facts, each asked for once for all who need it at the same time, and kept under the version at which it was read.

use std::{collections::BTreeSet, sync::Arc};

use super::{Boards, Gateway, Shared};
use crate::{
    access::{CommunityFacts, RoleRule},
    actor::Actor,
    contract::{ErrorCode, Failure},
    ids::{BoardId, CommunityId, PostId},
    ports::{FactStore, FactsError},
    versions::Subject,
};

impl<F: FactStore> Gateway<F> {
    /// What the rule asks of the actor's community, and the boards that it shows; both are asked for at once, and `named` with them.
    pub(super) async fn community_and_boards(
        &self,
        actor: &Actor,
        named: Option<BoardId>,
    ) -> Result<(Option<Shared<CommunityFacts>>, Boards), Failure> {
        let id = &actor.community;
        let (community, shown) = tokio::join!(self.community_facts(id), self.shown_in(id, named));
        let community = community?;
        if community.as_ref().is_some_and(|facts| !facts.features.enabled) {
            return Err(Failure::new(ErrorCode::FeatureDisabled, "your community has switched realtime off"));
        }
        Ok((community, shown?))
    }

    pub(super) async fn community_facts(&self, id: &CommunityId) -> Result<Option<Shared<CommunityFacts>>, Failure> {
        let version = self.versions.of(Subject::Community(id));
        let read = async {
            let found = self.facts.community(id.clone()).await?;
            Ok(found.inspect(|facts| report("community", &facts.community, &facts.rule)).map(Arc::new))
        };
        let key = (id.clone(), version);
        let found = self
            .communities
            .try_get_with(key.clone(), Box::pin(read))
            .await
            .map_err(|error| self.unavailable(error))?;
        if found.is_none() {
            // Anybody can ask for any id.
            self.communities.invalidate(&key).await;
        }
        Ok(found)
    }

    /// The boards that a community shows. Where they have to be asked for, `named` is asked for with them, and is at hand then if it is
    /// among them. If not, whoever asks learns nothing from how long that takes.
    pub(super) async fn shown_in(&self, id: &CommunityId, named: Option<BoardId>) -> Result<Boards, Failure> {
        let version = self.versions.of(Subject::Community(id));
        let read = async {
            let named = named.map(|board| (board, self.versions.of(Subject::Board(board))));
            let boards = named.iter().map(|(board, _)| *board).collect();
            let mut shown = self.facts.boards(boards, BTreeSet::from([id.clone()])).await?;
            shown.retain(|_, facts| facts.is_shown_in(id));
            if let Some(key) = named
                && let Some(facts) = shown.get(&key.0)
            {
                report("board", &facts.board, &facts.rule);
                self.boards.insert(key, Some(Arc::new(facts.clone()))).await;
            }
            Ok(Arc::new(shown))
        };
        self.shown.try_get_with((id.clone(), version), Box::pin(read)).await.map_err(|error| self.unavailable(error))
    }

    /// The board in which a post stands, where the actor's community is shown it; one question for all who ask at the same time, whatever it
    /// finds. What it is not shown is kept of no post: it would be forgotten as soon as the post is written, moved or deleted elsewhere, and
    /// the next answer would tell by being late.
    pub(super) async fn board_of(&self, actor: &Actor, post: PostId) -> Result<Option<BoardId>, Failure> {
        let community = &actor.community;
        // Before what it shows is asked for: that is as of this version, or newer.
        let version = self.versions.of(Subject::Community(community));
        let (_, shown) = self.community_and_boards(actor, None).await?;
        let is_shown = |board: &BoardId| shown.contains_key(board);
        let read = || Box::pin(async { Ok(self.facts.board_of_post(post).await?.filter(is_shown)) });
        let key = (community.clone(), version, post, self.versions.of(Subject::Post(post)));
        match self.posts.try_get_with(key.clone(), read()).await.map_err(|error| self.unavailable(error))? {
            Some(board) if is_shown(&board) => Ok(Some(board)),
            // Whoever asked first was still shown it.
            Some(_) => read().await.map_err(|error: FactsError| self.unavailable(Arc::new(error))),
            None => {
                self.posts.invalidate(&key).await;
                Ok(None)
            }
        }
    }
}

/// Once for each version that somebody asks for: who is shut out can't tell, so the operator has to be told.
pub(super) fn report(what: &'static str, id: &dyn std::fmt::Display, rule: &RoleRule) {
    if *rule == RoleRule::Malformed {
        metrics::counter!("curia_malformed_permissions_total").increment(1);
        tracing::warn!(
            what,
            %id,
            "settings.permissions.allowedRoles is no array of role ids, so nobody but admins may open it; correct it in the forum"
        );
    }
}
