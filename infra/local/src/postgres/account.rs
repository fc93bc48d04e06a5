//! As whom PostgreSQL runs. It refuses root, so that root needs another user for it; everybody else is themselves.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User, geteuid};

use super::PostgresError;

/// A user other than ourselves, whom only root can become.
#[derive(Clone, Debug)]
pub struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account for a cluster: none when we are not root, else the cluster's owner, else `postgres`, else `nobody`.
    ///
    /// # Errors
    /// When the cluster is somebody else's, or root finds no user to become.
    pub fn for_cluster(cluster: &Path) -> Result<Option<Self>, PostgresError> {
        let owner = std::fs::metadata(cluster.join("PG_VERSION")).ok().map(|meta| meta.uid());
        let own = geteuid();
        if !own.is_root() {
            return match owner {
                Some(owner) if owner != own.as_raw() => {
                    Err(PostgresError::OtherOwner { cluster: cluster.to_owned(), owner })
                }
                _ => Ok(None),
            };
        }
        let by_owner =
            owner.filter(|&uid| uid != 0).and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten());
        let by_name = || ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = by_owner.or_else(by_name).ok_or(PostgresError::NoUser)?;
        Ok(Some(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the command run as this user; the standard library drops root's supplementary groups with it.
    pub(super) fn apply(account: Option<&Self>, command: &mut Command) {
        if let Some(account) = account {
            command.uid(account.uid).gid(account.gid);
        }
    }

    /// Gives one file or folder to this user.
    pub(super) fn own(account: Option<&Self>, path: &Path) -> Result<(), PostgresError> {
        match account {
            Some(account) => std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
                .map_err(PostgresError::at(path)),
            None => Ok(()),
        }
    }

    /// Whether this user can pass through to a folder. Asked of the kernel by trying, since modes alone do not tell.
    pub(super) fn reaches(&self, folder: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"cd "$1""#, "reach"]).arg(folder).current_dir("/").env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self::apply(Some(self), &mut command);
        command.status().is_ok_and(|status| status.success())
    }
}
