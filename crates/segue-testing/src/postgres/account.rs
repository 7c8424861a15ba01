//! Whom PostgreSQL runs as: it refuses to be root.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::Error;

const ROOT: u32 = 0;

/// Whom the server's programs run as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Account {
    /// Whoever runs the tests.
    Ourselves,
    /// Somebody with fewer rights, because we are root.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// Decides by the owner of a folder that we have just created.
    pub(super) fn for_owner_of(folder: &Path) -> Result<Self, Error> {
        let owner = std::fs::metadata(folder)
            .map_err(|source| Error::Folder { path: folder.to_owned(), source })?
            .uid();
        if owner != ROOT {
            return Ok(Self::Ourselves);
        }
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| ids_of(name, &accounts))
            .map(|(uid, gid)| Self::Other { uid, gid })
            .ok_or(Error::NoAccount)
    }

    /// Makes a folder theirs.
    pub(super) fn own(self, folder: &Path) -> Result<(), Error> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => chown(folder, Some(uid), Some(gid))
                .map_err(|source| Error::Folder { path: folder.to_owned(), source }),
        }
    }

    /// Lets a command run as them.
    pub(super) fn run(self, command: &mut Command) {
        match self {
            Self::Ourselves => {}
            Self::Other { uid, gid } => {
                command.uid(uid).gid(gid);
            }
        }
    }
}

/// User and group of a name in the text of `/etc/passwd`.
fn ids_of(name: &str, accounts: &str) -> Option<(u32, u32)> {
    let mut fields = accounts
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.skip(1)))?;
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::ids_of;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\npostgres-exporter:x:7:8::/:/x\n\
                        postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(ids_of("postgres", accounts), Some((101, 104)));
        assert_eq!(ids_of("nobody", accounts), None);
    }
}
