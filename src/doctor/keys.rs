//! The keys by which tokens are checked.

use super::{Finding, many};

/// Where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// `JWT_SECRET`: how many, and whether a token that is signed with the first is believed.
    Secrets { count: usize, believed: bool },
    /// A file of public keys, with how many are in it, or why it can't be used.
    File { path: String, keys: Result<usize, String> },
}

/// Whether tokens can be checked.
pub fn keys(keys: &Keys) -> Finding {
    let what = "keys";
    match keys {
        Keys::Secrets { count, believed: true } => Finding::ok(
            what,
            format!("{} in JWT_SECRET; a token that is signed with the first is believed", many(*count, "secret")),
        ),
        Keys::Secrets { believed: false, .. } => Finding::wrong(
            what,
            "a token that is signed with JWT_SECRET is not believed",
            "look at JWT_SECRET, JWT_ISSUER and JWT_AUDIENCE with `curia-realtime config`",
        ),
        Keys::File { path, keys: Ok(count) } => Finding::ok(what, format!("{} in {path}", many(*count, "public key"))),
        Keys::File { path, keys: Err(why) } => Finding::error(
            what,
            &format!("{path}: {why}"),
            "mend the file; a node that runs goes on with the keys before it",
        ),
    }
}
