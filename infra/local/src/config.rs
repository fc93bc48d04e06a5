//! What this program takes from its environment, read once. The only module that knows `std::env`.

use std::path::PathBuf;

use secrecy::SecretString;

/// The environment that matters on one machine. Names are those the planes read too.
#[derive(Clone, Default)]
pub struct Environment {
    /// `DATABASE_URL`: a PostgreSQL to use instead of a private cluster.
    pub database_url: Option<SecretString>,
    /// `SMTP_URL`: a mail server to use instead of the built-in mailbox.
    pub smtp_url: Option<SecretString>,
    /// `TOOLMESH_MAIL_FROM`
    pub mail_from: Option<String>,
    /// `PG_BIN`: the folder with `initdb` and `postgres`.
    pub pg_bin: Option<PathBuf>,
    /// `TOOLMESH_KEK_FILE`
    pub kek_file: Option<PathBuf>,
    /// `TOOLMESH_JOIN_SECRET_FILE`
    pub join_secret_file: Option<PathBuf>,
    /// `TOOLMESH_CONSOLE_URL`
    pub console_url: Option<String>,
    /// `TOOLMESH_TENANT_URL`
    pub tenant_url: Option<String>,
    /// `TOOLMESH_ALLOW_PRIVATE_UPSTREAMS`: for the operator's commands; `up` has an option of its own.
    pub allow_private_upstreams: bool,
    /// `TOOLMESH_LOG`: what `tracing` shows.
    pub log: Option<String>,
    /// The folder of this program, where the planes' programs lie too.
    pub program_dir: Option<PathBuf>,
}

impl Environment {
    /// Reads the process's environment. An empty variable counts as unset.
    #[must_use]
    pub fn read() -> Self {
        Self {
            database_url: text("DATABASE_URL").map(SecretString::from),
            smtp_url: text("SMTP_URL").map(SecretString::from),
            mail_from: text("TOOLMESH_MAIL_FROM"),
            pg_bin: text("PG_BIN").map(PathBuf::from),
            kek_file: text("TOOLMESH_KEK_FILE").map(PathBuf::from),
            join_secret_file: text("TOOLMESH_JOIN_SECRET_FILE").map(PathBuf::from),
            console_url: text("TOOLMESH_CONSOLE_URL"),
            tenant_url: text("TOOLMESH_TENANT_URL"),
            allow_private_upstreams: text("TOOLMESH_ALLOW_PRIVATE_UPSTREAMS").as_deref() == Some("true"),
            log: text("TOOLMESH_LOG"),
            program_dir: program_dir(),
        }
    }
}

fn program_dir() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let program = program.canonicalize().unwrap_or(program);
    program.parent().map(PathBuf::from)
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
