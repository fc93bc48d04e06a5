//! The server of one cluster, as a child process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio_util::sync::CancellationToken;

use super::{Account, Binaries, OWNER, Place, PostgresError, init};
use crate::files;
use crate::process::{self, Process, Stopped};

/// Longest path of a socket that every system takes: macOS allows 104 bytes with the closing zero.
const SOCKET_PATH_MAX: usize = 103;
/// After a crash the server replays its log before it answers.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// Fast shutdown writes a checkpoint.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// What a cluster is started with.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub binaries: Binaries,
    pub place: Place,
    /// Where the place is noted when it is not this folder.
    pub data: PathBuf,
    /// Password of the owner, made of letters and digits.
    pub password: SecretString,
    pub log: PathBuf,
    /// Whether a power cut must lose nothing. Without it everything is faster, which is for tests.
    pub durable: bool,
}

/// A running server. Dropping it asks the server to stop and does not wait; it is also stopped if this program is killed.
#[derive(Debug)]
pub struct Cluster {
    process: Process,
    address: Address,
    password: SecretString,
    log: PathBuf,
    log_start: u64,
}

#[derive(Clone, Debug)]
enum Address {
    Socket(PathBuf),
    Port(u16),
}

impl ClusterOptions {
    /// Whether the cluster must be made before it can be started.
    #[must_use]
    pub fn is_new(&self) -> bool {
        !self.place.cluster().is_dir()
    }

    /// Makes the cluster, if it is new.
    ///
    /// # Errors
    /// When initdb fails or a folder cannot be written.
    pub async fn init(&self) -> Result<(), PostgresError> {
        self.make_run_dir()?;
        if self.is_new() {
            init::make_cluster(&self.binaries, &self.place, &self.password, self.durable).await?;
            self.place.note(&self.data)?;
        }
        Ok(())
    }

    fn make_run_dir(&self) -> Result<(), PostgresError> {
        let run = self.place.run();
        files::make_dir(&run, 0o700).map_err(PostgresError::at(&run))?;
        Account::own(self.place.account.as_ref(), &run)
    }

    fn address(&self) -> Result<Address, PostgresError> {
        let run = self.place.run();
        if run.join(".s.PGSQL.5432").as_os_str().len() <= SOCKET_PATH_MAX {
            return Ok(Address::Socket(run));
        }
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        Ok(Address::Port(free.map_err(PostgresError::at(run))?.port()))
    }

    fn command(&self, address: &Address) -> Command {
        let mut command = Command::new(self.binaries.program("postgres"));
        command.arg("-D").arg(self.place.cluster());
        let mut set = |setting: String| {
            command.arg("-c").arg(setting);
        };
        set("max_connections=100".into());
        set("unix_socket_permissions=0700".into());
        match address {
            Address::Socket(run) => {
                set("listen_addresses=".into());
                set("port=5432".into());
                // A list, in which a name in quotes may hold anything.
                let quoted = run.display().to_string().replace('"', "\"\"");
                set(format!("unix_socket_directories=\"{quoted}\""));
            }
            Address::Port(port) => {
                set("listen_addresses=127.0.0.1".into());
                set(format!("port={port}"));
                set("unix_socket_directories=".into());
            }
        }
        if !self.durable {
            for setting in ["fsync=off", "full_page_writes=off", "synchronous_commit=off"] {
                set(setting.into());
            }
        }
        command
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Account::apply(self.place.account.as_ref(), &mut command);
        command
    }
}

impl Cluster {
    /// Makes the cluster if it is new, starts the server and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be made or started; nothing is left running then.
    pub async fn start(options: &ClusterOptions) -> Result<Self, PostgresError> {
        options.init().await?;
        let cluster = Self::spawn(options).await?;
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    /// Starts the server of a cluster that is made, without waiting for it.
    ///
    /// # Errors
    /// When the program cannot be started, or an earlier server cannot be stopped.
    pub async fn spawn(options: &ClusterOptions) -> Result<Self, PostgresError> {
        stop_leftover(&options.place.cluster()).await?;
        let address = options.address()?;
        let log = files::open_log(&options.log).map_err(PostgresError::at(&options.log))?;
        let log_start = log.metadata().map_or(0, |meta| meta.len());
        let mut command = options.command(&address);
        command.stderr(log);
        let program = options.binaries.program("postgres");
        // SIGINT is PostgreSQL's fast shutdown: sessions are ended, nothing is lost.
        let process =
            Process::spawn("postgres", &mut command, Signal::SIGINT).map_err(PostgresError::at(program))?;
        Ok(Self { process, address, password: options.password.clone(), log: options.log.clone(), log_start })
    }

    /// Waits until the server takes connections.
    ///
    /// # Errors
    /// With the end of its log, when it stops or stays silent.
    pub async fn wait_ready(&self) -> Result<(), PostgresError> {
        let answers = async {
            let url = self.database_url("postgres");
            while PgConnection::connect(url.expose_secret()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = answers => Ok(()),
            status = self.process.exited() => Err(self.died(status)),
            () = tokio::time::sleep(START_DEADLINE) => Err(PostgresError::Late {
                seconds: START_DEADLINE.as_secs(),
                log: self.log.clone(),
                tail: files::tail(&self.log, self.log_start, 8),
            }),
        }
    }

    /// Waits until the server stops and says why.
    pub async fn failed(&self) -> PostgresError {
        let status = self.process.exited().await;
        self.died(status)
    }

    fn died(&self, status: Option<ExitStatus>) -> PostgresError {
        PostgresError::Died {
            status: status.map_or_else(|| "no exit status".to_owned(), |status| status.to_string()),
            log: self.log.clone(),
            tail: files::tail(&self.log, self.log_start, 8),
        }
    }

    /// URL of a database of this cluster, as its owner, password included.
    #[must_use]
    pub fn database_url(&self, database: &str) -> SecretString {
        let password = self.password.expose_secret();
        let url = match &self.address {
            Address::Socket(run) => {
                let query = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("host", &run.display().to_string())
                    .finish();
                // A form writes a space as `+`, and a URL's reader may take that for a plus.
                format!("postgres://{OWNER}:{password}@localhost/{database}?{}", query.replace('+', "%20"))
            }
            Address::Port(port) => format!("postgres://{OWNER}:{password}@127.0.0.1:{port}/{database}"),
        };
        SecretString::from(url)
    }

    /// Makes a database unless it is there.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn ensure_database(&self, name: &str) -> Result<(), PostgresError> {
        let mut connection = PgConnection::connect(self.database_url("postgres").expose_secret()).await?;
        let found = sqlx::query("select 1 from pg_database where datname = $1")
            .bind(name)
            .fetch_optional(&mut connection)
            .await?;
        if found.is_none() {
            let quoted = name.replace('"', "\"\"");
            // A name cannot be a parameter of this statement; it is quoted above.
            let statement = AssertSqlSafe(format!("create database \"{quoted}\""));
            sqlx::query(statement).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// The operating system's number of the server.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stops the server in an orderly way; kills it when that takes too long or `now` is cancelled.
    pub async fn stop(self, now: &CancellationToken) -> Stopped {
        self.process.stop(STOP_DEADLINE, now).await
    }
}

/// Asks a database outside whether it can be used, and for its version.
///
/// # Errors
/// When it does not answer within seconds, or refuses.
pub async fn check_external(url: &SecretString) -> Result<String, PostgresError> {
    let ask = async {
        let mut connection = PgConnection::connect(url.expose_secret()).await?;
        let row = sqlx::query("select current_setting('server_version')").fetch_one(&mut connection).await?;
        connection.close().await?;
        row.try_get::<String, _>(0)
    };
    match tokio::time::timeout(Duration::from_secs(10), ask).await {
        Ok(answer) => answer.map_err(PostgresError::External),
        Err(_) => Err(PostgresError::External(sqlx::Error::PoolTimedOut)),
    }
}

/// A server that a killed start left behind would keep the cluster to itself: it is stopped. A note of a process that is
/// something else by now, as numbers are used again, is removed, since the server would take it for itself.
async fn stop_leftover(cluster: &Path) -> Result<(), PostgresError> {
    let note = cluster.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&note) else { return Ok(()) };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()) else {
        return Ok(());
    };
    let Some(command) = process::command_line(pid) else { return Ok(()) };
    let ours = command.contains("postgres") && command.contains(&*cluster.to_string_lossy());
    if !ours {
        return files::remove_if_there(&note).map_err(PostgresError::at(note));
    }
    tracing::warn!(pid, cluster = %cluster.display(), "stopping a postgres server that an earlier start left behind");
    if process::stop_stranger(pid, Signal::SIGINT, STOP_DEADLINE).await {
        Ok(())
    } else {
        Err(PostgresError::Leftover { pid, cluster: cluster.to_owned() })
    }
}
