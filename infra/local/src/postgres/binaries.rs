//! Finds PostgreSQL's programs where Debian, Ubuntu, Fedora, Homebrew and Postgres.app put them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// A folder with `initdb` and `postgres`, and their version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The folder.
    pub dir: PathBuf,
    /// As PostgreSQL says it, e.g. `15.18`.
    pub version: String,
    /// The number that decides whether a cluster fits, e.g. 15.
    pub major: u32,
}

/// Folders that hold one folder per version, and what stands after the version.
const FOLDERS: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

impl Binaries {
    /// Finds the programs for a cluster: of its own major version, or the newest for a new cluster.
    ///
    /// # Errors
    /// When there are none, or none of the cluster's version.
    pub fn find(pg_bin: Option<&Path>, cluster: Option<&Path>) -> Result<Self, PostgresError> {
        let all = match pg_bin {
            Some(dir) => {
                vec![Self::read(dir).ok_or_else(|| PostgresError::BadPgBin(dir.to_owned()))?]
            }
            None => installed(),
        };
        let Some((cluster, needed)) = cluster.and_then(|c| Some((c, major_of_cluster(c)?))) else {
            return all.into_iter().next().ok_or(PostgresError::NotInstalled);
        };
        let found = all.iter().map(|b| b.version.clone()).collect::<Vec<_>>().join(", ");
        all.into_iter().find(|b| b.major == needed).ok_or_else(|| PostgresError::OtherVersion {
            cluster: cluster.to_owned(),
            needed,
            found: if found.is_empty() { "none".to_owned() } else { found },
        })
    }

    #[must_use]
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Asks a folder's `postgres` for its version; `None` when the folder lacks the programs.
    fn read(dir: &Path) -> Option<Self> {
        if !dir.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(dir.join("postgres")).arg("--version").current_dir("/").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split_whitespace().nth(2)?.to_owned();
        let major = leading_number(&version)?;
        Some(Self { dir: dir.to_owned(), version, major })
    }
}

/// All that is installed: what `pg_config` on the PATH names first, then the newest.
fn installed() -> Vec<Binaries> {
    let mut found: Vec<Binaries> = from_pg_config().into_iter().collect();
    let mut others: Vec<Binaries> = FOLDERS
        .iter()
        .flat_map(|&(folder, prefix, bin)| versions_in(Path::new(folder), prefix, bin))
        .filter_map(|dir| Binaries::read(&dir))
        .collect();
    others.sort_by_key(|b| std::cmp::Reverse(b.major));
    others.retain(|b| found.iter().all(|f| f.dir != b.dir));
    found.append(&mut others);
    found
}

/// Debian's `pg_config` comes with a library's headers and may name a folder without a server.
fn from_pg_config() -> Option<Binaries> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Binaries::read(Path::new(text.trim()))
}

fn versions_in(folder: &Path, prefix: &str, bin: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(leading_number).is_some()
    });
    named.map(|entry| entry.path().join(bin)).collect()
}

/// Major version that made a cluster.
fn major_of_cluster(cluster: &Path) -> Option<u32> {
    leading_number(std::fs::read_to_string(cluster.join("PG_VERSION")).ok()?.trim())
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// What a person types to get PostgreSQL here.
pub(super) fn install_command() -> &'static str {
    if cfg!(target_os = "macos") { "brew install postgresql@17" } else { "sudo apt-get install postgresql" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_on_this_machine_are_found_and_know_their_version() {
        let binaries = Binaries::find(None, None).unwrap();
        assert!(binaries.major >= 13 && binaries.dir.join("initdb").is_file());
    }

    #[test]
    fn a_cluster_of_another_major_version_is_named_with_both_numbers() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("PG_VERSION"), "9\n").unwrap();
        let error = Binaries::find(None, Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("PostgreSQL 9") && error.contains("PG_BIN"), "{error}");
    }

    #[test]
    fn a_pg_bin_without_the_programs_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Binaries::find(Some(dir.path()), None).unwrap_err().to_string();
        assert!(error.contains("PG_BIN"), "{error}");
    }
}
