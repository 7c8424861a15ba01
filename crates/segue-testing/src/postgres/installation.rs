//! Where PostgreSQL's programs lie.

use std::path::{Path, PathBuf};

use super::Error;

/// A folder with `initdb`, `pg_ctl` and `postgres`.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    folder: PathBuf,
}

impl Installation {
    /// Finds the programs in `PATH`, or else the newest version where Debian and Ubuntu put them.
    pub(super) fn find() -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .find(|folder| is_complete(folder))
            .or_else(|| newest(Path::new("/usr/lib/postgresql")))
            .map(|folder| Self { folder })
            .ok_or(Error::NotInstalled)
    }

    /// The path of one of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file())
}

fn newest(versions: &Path) -> Option<PathBuf> {
    let found = std::fs::read_dir(versions).ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let folder = entry.path().join("bin");
        is_complete(&folder).then_some((version, folder))
    });
    found.max_by_key(|(version, _)| *version).map(|(_, folder)| folder)
}
