//! Where the cluster lies. In the data folder, unless root keeps that folder where no other user can pass (a home folder of
//! mode 0700): then in a folder of the system, which the data folder notes in `postgres.location`.

use std::path::{Path, PathBuf};

use super::{Account, PostgresError};
use crate::{files, secrets};

/// Folders that last and that every user can pass through, on Linux and on macOS.
const SYSTEM_FOLDERS: &[&str] = &["/var/lib", "/var/db"];

/// The cluster's folders and the user they belong to.
#[derive(Clone, Debug)]
pub struct Place {
    /// Holds `postgres/` and `run/`.
    pub home: PathBuf,
    /// The user to run as, when we are root.
    pub account: Option<Account>,
    /// Whether `home` is not the data folder.
    pub elsewhere: bool,
}

impl Place {
    /// Finds the place of a data folder's cluster, or chooses it for a new one.
    ///
    /// # Errors
    /// When a noted place is gone, or no place can be reached by PostgreSQL's user.
    pub fn find(data: &Path) -> Result<Self, PostgresError> {
        let note = data.join("postgres.location");
        if let Ok(text) = std::fs::read_to_string(&note) {
            let home = PathBuf::from(text.trim_end_matches('\n'));
            let cluster = home.join("postgres");
            if !cluster.is_dir() {
                return Err(PostgresError::Moved { note, cluster });
            }
            let account = Account::for_cluster(&cluster)?;
            return Ok(Self { home, account, elsewhere: true });
        }
        let account = Account::for_cluster(&data.join("postgres"))?;
        match &account {
            Some(user) if !user.reaches(data) => {
                let home = outside(data, user)?;
                Ok(Self { home, account, elsewhere: true })
            }
            _ => Ok(Self { home: data.to_owned(), account, elsewhere: false }),
        }
    }

    #[must_use]
    pub fn cluster(&self) -> PathBuf {
        self.home.join("postgres")
    }

    /// Holds the server's socket.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.home.join("run")
    }

    /// Notes the place in the data folder once the cluster is there.
    pub(super) fn note(&self, data: &Path) -> Result<(), PostgresError> {
        if !self.elsewhere {
            return Ok(());
        }
        let note = data.join("postgres.location");
        let text = format!("{}\n", self.home.display());
        files::write_private(&note, text.as_bytes()).map_err(PostgresError::at(note))
    }
}

fn outside(data: &Path, user: &Account) -> Result<PathBuf, PostgresError> {
    let unreachable = || PostgresError::Unreachable { folder: data.to_owned(), user: user.name().to_owned() };
    let base = SYSTEM_FOLDERS.iter().map(Path::new).find(|folder| folder.is_dir()).ok_or_else(unreachable)?;
    let home = base.join("toolmesh").join(secrets::random_hex::<4>()?);
    files::make_dir(&home, 0o711).map_err(PostgresError::at(&home))?;
    if user.reaches(&home) { Ok(home) } else { Err(unreachable()) }
}
