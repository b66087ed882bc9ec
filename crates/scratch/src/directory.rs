//! Fresh temporary directories.

use std::env;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ScratchError;
use crate::account::{self, Account};

/// Makes an empty directory that only `owner` can read; the caller sees to its removal.
pub(crate) fn fresh(purpose: &str, owner: Option<Account>) -> Result<PathBuf, ScratchError> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let roots = [env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    let Some(root) = roots.iter().find(|root| root.is_dir() && account::may_enter(owner, root)) else {
        return Err(ScratchError::NoFolder { tried: roots.to_vec() });
    };
    loop {
        // A process id comes round again; a directory that a killed process could not remove is passed over.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("curia-{purpose}-{}-{number}", process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(ScratchError::io(format!("create {}", path.display()))(error)),
        }
        if let Some(owner) = owner
            && let Err(error) = chown(&path, Some(owner.uid), Some(owner.gid))
        {
            // Best effort: the error that counts is the one about to be returned.
            let _ = fs::remove_dir(&path);
            return Err(ScratchError::io(format!("give {} to the server's account", path.display()))(error));
        }
        return Ok(path);
    }
}
