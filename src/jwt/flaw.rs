//! What can be wrong with a token, in words that hold nothing of it.

use crate::contract::{ErrorCode, Failure};

/// Why a token makes nobody an [`Actor`](crate::actor::Actor). No text of the token is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// None was sent.
    #[error("no token was sent; put it into auth.token or an Authorization: Bearer header")]
    Missing,
    /// It can't be trusted or can't be understood.
    #[error("the token is refused: {0}")]
    Invalid(#[from] Flaw),
    /// It was good until its `exp`.
    #[error("the token has expired; ask the forum for a new one")]
    Expired,
}

impl TokenError {
    /// The contract's error code.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Missing => ErrorCode::AuthMissing,
            Self::Invalid(_) => ErrorCode::AuthInvalid,
            Self::Expired => ErrorCode::AuthExpired,
        }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// See [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES).
    #[error("it is longer than 8 KiB")]
    TooLong,
    /// Not three parts of base64 with JSON objects in them.
    #[error("it is not a JWT")]
    Malformed,
    /// Not the configured one.
    #[error("it is signed with another algorithm than the configured one")]
    Algorithm,
    /// A `crit` header: whoever does not know the extension has to refuse.
    #[error("its header demands an extension that is not supported")]
    Extension,
    /// No configured key fits.
    #[error("its signature fits none of the configured keys")]
    Signature,
    /// Absent, of the wrong type, empty or with control characters.
    #[error("its claim `{0}` is missing or not of the expected form")]
    Claim(&'static str),
    /// `nbf`
    #[error("it is not valid yet")]
    NotYet,
    /// Not `JWT_ISSUER`.
    #[error("it comes from another issuer")]
    Issuer,
    /// Not `JWT_AUDIENCE`.
    #[error("it is meant for another audience")]
    Audience,
}
