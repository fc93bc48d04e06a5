//! A private PostgreSQL: finds the programs, makes the cluster, runs the server as a child, stops it.
//!
//! Knows nothing of what is stored; migrations are the control plane's.

mod account;
mod binaries;
mod init;
mod place;
mod server;

use std::io;
use std::path::PathBuf;

pub use account::Account;
pub use binaries::Binaries;
pub use place::Place;
pub use server::{Cluster, ClusterOptions, check_external};

/// Role that owns the cluster and its databases.
pub const OWNER: &str = "toolmesh";
/// Database of the control plane.
pub const DATABASE: &str = "toolmesh";

/// Why there is no database; each is a sentence with the way out.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "PostgreSQL was not found. Install it with `{}`, or set DATABASE_URL to a database that is there, or PG_BIN to \
         the folder with initdb and postgres.",
        binaries::install_command()
    )]
    NotInstalled,
    #[error("PG_BIN is {}, and there is no initdb and postgres in it.", .0.display())]
    BadPgBin(PathBuf),
    #[error(
        "{} was made by PostgreSQL {needed}, and this machine has {found}. Install PostgreSQL {needed}, or set PG_BIN to \
         the folder with its programs.", cluster.display()
    )]
    OtherVersion { cluster: PathBuf, needed: u32, found: String },
    #[error(
        "PostgreSQL does not run as root, and neither the user `postgres` nor `nobody` exists to run it. Make one with \
         `useradd --system postgres`."
    )]
    NoUser,
    #[error("{} belongs to another user (uid {owner}). Start ToolMesh as that user, or as root.", cluster.display())]
    OtherOwner { cluster: PathBuf, owner: u32 },
    #[error(
        "{} says that the database is in {}, which is not there. Bring that folder back, or start afresh in another \
         folder with --data.", note.display(), cluster.display()
    )]
    Moved { note: PathBuf, cluster: PathBuf },
    #[error(
        "PostgreSQL cannot be run as root, and its user `{user}` cannot reach {}. Use a folder that other users may pass \
         through, with --data.", folder.display()
    )]
    Unreachable { folder: PathBuf, user: String },
    #[error("initdb could not make the database cluster in {}:\n{output}", cluster.display())]
    Initdb { cluster: PathBuf, output: String },
    #[error("PostgreSQL stopped ({status}). The last lines of {}:\n{tail}", log.display())]
    Died { status: String, log: PathBuf, tail: String },
    #[error("PostgreSQL did not answer within {seconds} s. The last lines of {}:\n{tail}", log.display())]
    Late { seconds: u64, log: PathBuf, tail: String },
    #[error(
        "an earlier PostgreSQL (process {pid}) still runs on {} and cannot be stopped. Stop it with `kill -INT {pid}`.",
        cluster.display()
    )]
    Leftover { pid: i32, cluster: PathBuf },
    #[error("DATABASE_URL is set, but that database cannot be used: {0}")]
    External(sqlx::Error),
    #[error("the database answered with an error: {0}")]
    Sql(#[from] sqlx::Error),
    #[error("cannot use {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Secret(#[from] crate::secrets::SecretError),
}

impl PostgresError {
    /// For `map_err`: names the path that an input or output error is about.
    fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

#[cfg(test)]
mod tests;
