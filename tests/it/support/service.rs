//! The service itself, on a free port, over a test's database.

use chrono::{TimeDelta, Utc};
use curia_realtime::{
    actor::Actor,
    app::App,
    config::{Config, Sources},
    ids::RoleId,
    jwt::{Secret, Signer},
    lifecycle::Ending,
};
use tokio::task::JoinHandle;

/// What tokens are signed with.
pub const SECRET: &str = "a secret of the tests that is long enough for HS256";
/// Whose pages may connect, beside the service's own.
pub const ALLOWED_ORIGIN: &str = "https://forum.example";

pub struct Service {
    pub url: String,
    ending: Ending,
    running: JoinHandle<()>,
}

impl Service {
    pub async fn start(database_url: &str) -> Self {
        Self::start_with(database_url, &[]).await
    }

    /// With these flags beside the usual ones.
    pub async fn start_with(database_url: &str, more: &[(&'static str, &str)]) -> Self {
        Self::serving(App::build(configured(database_url, more)).await.expect("a service"))
    }

    /// With the demo's forum, in an empty database, and its page.
    pub async fn demo(database_url: &str) -> Self {
        let app = App::build(configured(database_url, &[])).await.expect("a service");
        Self::serving(app.with_demo(false).await.expect("the demo"))
    }

    fn serving(app: App) -> Self {
        let url = format!("http://{}", app.address().expect("an address"));
        let ending = Ending::default();
        let told = ending.clone();
        let running = tokio::spawn(async move { app.run(told).await.expect("a service that runs") });
        Self { url, ending, running }
    }

    /// Ends it at once and waits until every task has ended.
    pub async fn stop(self) {
        self.ending.stop();
        self.ended().await;
    }

    /// Tells it to send its clients away and then to end.
    pub fn leave(&self) {
        self.ending.leave();
    }

    /// Waits until every task has ended.
    pub async fn ended(self) {
        self.running.await.expect("an orderly end");
    }

    /// A token as the forum signs it.
    pub fn token(user: &str, community: &str, roles: &[&str], admin: bool) -> String {
        Self::signed(SECRET, user, community, roles, admin, TimeDelta::hours(1))
    }

    /// A token with another life.
    pub fn token_for(user: &str, community: &str, roles: &[&str], admin: bool, life: TimeDelta) -> String {
        Self::signed(SECRET, user, community, roles, admin, life)
    }

    /// A token whose hour has passed.
    pub fn expired_token() -> String {
        Self::signed(SECRET, "ada", "c1", &[], false, TimeDelta::seconds(-1))
    }

    /// A token of somebody who does not know the secret.
    pub fn forged_token() -> String {
        Self::signed("a secret that was made up by somebody else", "ada", "c1", &[], true, TimeDelta::hours(1))
    }

    /// A token of one browser tab, in community `c1`.
    pub fn token_of_device(user: &str, device: &str) -> String {
        let mut actor = Self::actor(user, "c1", &[], false, TimeDelta::hours(1));
        actor.device = Some(device.into());
        Self::sign(SECRET, &actor)
    }

    fn signed(secret: &str, user: &str, community: &str, roles: &[&str], admin: bool, valid: TimeDelta) -> String {
        Self::sign(secret, &Self::actor(user, community, roles, admin, valid))
    }

    pub fn actor(user: &str, community: &str, roles: &[&str], admin: bool, valid: TimeDelta) -> Actor {
        Actor {
            user: user.into(),
            community: community.into(),
            roles: roles.iter().map(|role| RoleId::from(*role)).collect(),
            admin,
            name: Some(user.to_owned()),
            picture: None,
            device: None,
            expires_at: Utc::now() + valid,
        }
    }

    fn sign(secret: &str, actor: &Actor) -> String {
        Signer::new(&Secret::from(secret.to_owned()), None, None).mint(actor, Utc::now()).expect("a token")
    }
}

fn configured(database_url: &str, more: &[(&'static str, &str)]) -> Config {
    let usual =
        [("database-url", database_url), ("host", "127.0.0.1"), ("port", "0"), ("allowed-origins", ALLOWED_ORIGIN)];
    // Where a test brings public keys there is no secret.
    let secret = [("jwt-secret", SECRET)];
    let secret =
        secret.iter().filter(|_| !more.iter().any(|(flag, _)| ["jwt-public-key-file", "jwt-jwks-file"].contains(flag)));
    let flags = usual.iter().chain(secret).chain(more).map(|(flag, value)| (*flag, (*value).to_owned())).collect();
    Config::read(&Sources { flags, ..Sources::default() }).expect("a configuration")
}
