//! The account a server runs under.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::ScratchError;

/// Another account than ours, taken where we are root: `initdb` and `postgres` refuse to run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// `None` where we are an ordinary user and servers simply run as ourselves.
    pub(crate) fn for_servers() -> Result<Option<Self>, ScratchError> {
        if !we_are_root()? {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").map_err(ScratchError::io("read /etc/passwd"))?;
        ["postgres", "nobody"].iter().find_map(|name| find(&accounts, name)).map(Some).ok_or(ScratchError::NoAccount)
    }

    /// Makes `command` run under this account, without our supplementary groups.
    pub(crate) fn take_on(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

/// Whether this process is root. The owner of a directory entry made by us would tell as well; /proc is not everywhere.
pub(crate) fn we_are_root() -> Result<bool, ScratchError> {
    static ROOT: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    if let Some(root) = ROOT.get() {
        return Ok(*root);
    }
    let output = Command::new("id").arg("-u").output().map_err(ScratchError::io("run `id -u`"))?;
    Ok(*ROOT.get_or_init(|| output.stdout.trim_ascii() == b"0"))
}

/// Whether `account` may enter `folder` and all that lie above it, by the permission bits for others and for the owner.
pub(crate) fn may_enter(account: Option<Account>, folder: &std::path::Path) -> bool {
    let Some(account) = account else { return true };
    folder.ancestors().all(|part| {
        fs::metadata(part).is_ok_and(|is| {
            let bits = is.mode();
            bits & 0o001 != 0
                || (is.uid() == account.uid && bits & 0o100 != 0)
                || (is.gid() == account.gid && bits & 0o010 != 0)
        })
    })
}

fn find(accounts: &str, name: &str) -> Option<Account> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        Some(Account { uid, gid: fields.next()?.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\nnobodys:x:7:7::/:/bin/false\nnobody:x:65534:65533:nobody:/:/bin/false\n";
        assert_eq!(find(accounts, "nobody"), Some(Account { uid: 65534, gid: 65533 }));
        assert_eq!(find(accounts, "postgres"), None);
    }
}
