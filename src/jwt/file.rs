//! A file of public keys.

use std::{fs::File, io::Read, path::PathBuf};

use super::{
    jwks,
    keys::{KeyError, KeySet},
    pem,
};

/// A larger file is refused unread.
const LARGEST: u64 = 1 << 20;

/// How keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Pem,
    Jwks,
}

impl Form {
    /// The keys in a file's text.
    pub fn parse(self, text: &[u8]) -> Result<KeySet, KeyError> {
        match self {
            Self::Pem => pem::read(text),
            Self::Jwks => jwks::read(text),
        }
    }
}

/// Where public keys are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    pub path: PathBuf,
    pub form: Form,
}

impl KeyFile {
    /// Its text as it stands now. Waits for the disk.
    pub fn text(&self) -> Result<Vec<u8>, KeyError> {
        // Whoever opens a pipe waits for its writer.
        if !std::fs::metadata(&self.path).map_err(KeyError::Unreadable)?.is_file() {
            return Err(KeyError::NotAFile);
        }
        let mut text = Vec::new();
        let file = File::open(&self.path).map_err(KeyError::Unreadable)?;
        file.take(LARGEST + 1).read_to_end(&mut text).map_err(KeyError::Unreadable)?;
        if text.len() as u64 > LARGEST { Err(KeyError::TooLarge) } else { Ok(text) }
    }

    /// Its keys as they stand now. Waits for the disk.
    pub fn keys(&self) -> Result<KeySet, KeyError> {
        self.form.parse(&self.text()?)
    }
}
