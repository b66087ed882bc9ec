//! What an operator sets, by flag or environment.

use std::net::IpAddr;

use clap::Args;

use crate::{http::AllowedOrigins, jwt::Secret};

/// `curia-realtime serve`
#[derive(Args, Debug)]
pub struct Settings {
    /// The forum's database, as a role to which `curia_realtime` is granted.
    #[arg(long, env, hide_env_values = true)]
    pub database_url: String,
    /// The secret the forum signs tokens with (HS256); several, comma-separated, while rotating.
    #[arg(long, env, hide_env_values = true, value_delimiter = ',', required = true)]
    pub jwt_secret: Vec<Secret>,
    /// Demanded of every token when set.
    #[arg(long, env)]
    pub jwt_issuer: Option<String>,
    /// Demanded of every token when set.
    #[arg(long, env)]
    pub jwt_audience: Option<String>,
    /// Web sites whose pages may connect, comma-separated, as https://forum.example.
    #[arg(long, env, default_value = "")]
    pub allowed_origins: AllowedOrigins,
    /// The address to listen on.
    #[arg(long, env, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    #[arg(long, env, default_value_t = 4000)]
    pub port: u16,
    /// Rooms a socket may be in; a feed counts as one.
    #[arg(long, env = "MAX_ROOMS", default_value_t = 200)]
    pub max_rooms: usize,
    /// Bytes of a post's or comment's content that an event carries.
    #[arg(long, env = "CONTENT_LIMIT", default_value_t = 16 * 1024)]
    pub content_limit: usize,
    /// Milliseconds within which count events of one post are merged.
    #[arg(long, env = "MERGE_WINDOW_MS", default_value_t = 50)]
    pub merge_window_ms: u64,
}
