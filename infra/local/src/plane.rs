//! The planes' programs as child processes: started with their environment, awaited until they say `ready`, watched, stopped.
//!
//! Knows the line that a plane prints and nothing of what it does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::files;
use crate::process::{Process, Stopped};

/// Longest `ready` line.
const LINE_MAX: u64 = 16 * 1024;
/// How long a plane may finish what it is at when it is asked to stop; longer than a plane gives itself.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Where the planes' programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    pub control_plane: PathBuf,
    pub data_plane: PathBuf,
}

/// What the control plane says when it is ready.
#[derive(Clone, Debug, Deserialize)]
pub struct ControlPlaneReady {
    pub http: std::net::SocketAddr,
    pub grpc: std::net::SocketAddr,
}

/// What a node says when it is ready.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeReady {
    pub http: std::net::SocketAddr,
}

/// One plane to start.
#[derive(Debug)]
pub struct PlaneCommand {
    /// As people read it, e.g. "the control plane" or "node-1".
    pub name: String,
    pub program: PathBuf,
    pub directory: PathBuf,
    pub log: PathBuf,
    pub set: Vec<(&'static str, OsString)>,
    /// Variables of ours that are not this plane's business.
    pub unset: &'static [&'static str],
}

/// A running plane.
#[derive(Debug)]
pub struct Plane {
    name: String,
    process: Process,
    log: PathBuf,
    log_start: u64,
    /// Reads on after the `ready` line, so that the pipe never fills.
    drain: Option<AbortOnDropHandle<()>>,
}

/// Why a plane does not run.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    #[error(
        "{} is missing. Build it with `cargo build --release -p toolmesh-control-plane -p toolmesh-data-plane`, or start \
         with infra/up.", .0.display()
    )]
    NoProgram(PathBuf),
    #[error("cannot start {name}: {source}")]
    Spawn { name: String, source: std::io::Error },
    #[error("{name} stopped ({status}). The last lines of {}:\n{tail}", log.display())]
    Died { name: String, status: String, log: PathBuf, tail: String },
    #[error("{name} was not ready within {seconds} s. The last lines of {}:\n{tail}", log.display())]
    Late { name: String, seconds: u64, log: PathBuf, tail: String },
    #[error(
        "{name} said {line:?} where `ready {{…}}` was expected; the programs are of different versions. Build all of them."
    )]
    Line { name: String, line: String },
}

impl Programs {
    /// The programs that lie beside this one.
    ///
    /// # Errors
    /// Names the first that is missing.
    pub fn beside(folder: &Path) -> Result<Self, PlaneError> {
        let find = |name: &str| {
            let path = folder.join(name);
            if path.is_file() { Ok(path) } else { Err(PlaneError::NoProgram(path)) }
        };
        Ok(Self { control_plane: find("toolmesh-control-plane")?, data_plane: find("toolmesh-data-plane")? })
    }
}

impl Plane {
    /// Starts a plane without waiting for it.
    ///
    /// # Errors
    /// When the program or its log cannot be opened.
    pub fn spawn(plane: PlaneCommand) -> Result<Self, PlaneError> {
        let failed = |source| PlaneError::Spawn { name: plane.name.clone(), source };
        let log = files::open_log(&plane.log).map_err(failed)?;
        let log_start = log.metadata().map_or(0, |meta| meta.len());
        let mut command = Command::new(&plane.program);
        command.current_dir(&plane.directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        for name in plane.unset {
            command.env_remove(name);
        }
        command.envs(plane.set);
        let process = Process::spawn(&plane.name, &mut command, Signal::SIGTERM).map_err(failed)?;
        Ok(Self { name: plane.name, process, log: plane.log, log_start, drain: None })
    }

    /// Waits for the plane's `ready` line and reads it.
    ///
    /// # Errors
    /// When it stops before, takes longer than `deadline`, or says something else.
    pub async fn wait_ready<R: DeserializeOwned>(&mut self, deadline: Duration) -> Result<R, PlaneError> {
        let line = tokio::select! {
            line = self.first_line() => line,
            () = tokio::time::sleep(deadline) => return Err(PlaneError::Late {
                name: self.name.clone(),
                seconds: deadline.as_secs(),
                log: self.log.clone(),
                tail: files::tail(&self.log, self.log_start, 12),
            }),
        };
        match line {
            Some(line) => {
                line.strip_prefix("ready ").and_then(|json| serde_json::from_str(json).ok()).ok_or_else(
                    || PlaneError::Line { name: self.name.clone(), line: line.trim_end().to_owned() },
                )
            }
            None => Err(self.failed().await),
        }
    }

    /// The first line on its standard output; `None` when that ends without one.
    async fn first_line(&mut self) -> Option<String> {
        let stdout = tokio::process::ChildStdout::from_std(self.process.take_stdout()?).ok()?;
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        (&mut reader).take(LINE_MAX).read_line(&mut line).await.ok()?;
        let drain = async move {
            // An error is the end of the pipe, as an end is.
            let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
        };
        self.drain = Some(AbortOnDropHandle::new(tokio::spawn(drain)));
        Some(line).filter(|line| !line.is_empty())
    }

    /// Waits until the plane stops and says why.
    pub async fn failed(&self) -> PlaneError {
        let status = self.process.exited().await;
        PlaneError::Died {
            name: self.name.clone(),
            status: status.map_or_else(|| "no exit status".to_owned(), |s: ExitStatus| s.to_string()),
            log: self.log.clone(),
            tail: files::tail(&self.log, self.log_start, 12),
        }
    }

    /// The operating system's number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Asks the plane to stop and waits; kills it when that takes too long or `now` is cancelled.
    pub async fn stop(&self, now: &CancellationToken) -> Stopped {
        self.process.stop(STOP_DEADLINE, now).await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn program(dir: &Path, script: &str) -> PlaneCommand {
        let path = dir.join("plane");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        PlaneCommand {
            name: "the plane".to_owned(),
            program: path,
            directory: dir.to_owned(),
            log: dir.join("plane.log"),
            set: vec![("PLANE_PORT", "4711".into())],
            unset: &[],
        }
    }

    #[tokio::test]
    async fn a_plane_says_where_it_listens_and_stops_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"echo "ready {\"http\":\"127.0.0.1:$PLANE_PORT\"}"; echo more; exec sleep 600"#;
        let mut plane = Plane::spawn(program(dir.path(), script)).unwrap();
        let ready: NodeReady = plane.wait_ready(Duration::from_secs(10)).await.unwrap();
        assert_eq!(ready.http.port(), 4711);
        assert_eq!(plane.stop(&CancellationToken::new()).await, Stopped::InTime);
    }

    #[tokio::test]
    async fn a_plane_that_dies_before_it_is_ready_is_reported_with_its_own_words() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plane.log"), "words of an earlier run\n").unwrap();
        let script = "echo 'TOOLMESH_KEK_FILE is wrong: too short' >&2; exit 64";
        let mut plane = Plane::spawn(program(dir.path(), script)).unwrap();
        let error = plane.wait_ready::<NodeReady>(Duration::from_secs(10)).await.unwrap_err().to_string();
        assert!(error.contains("the plane stopped") && error.contains("too short"), "{error}");
        assert!(!error.contains("earlier run"), "{error}");
    }

    #[tokio::test]
    async fn a_plane_that_says_something_else_or_nothing_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let mut plane = Plane::spawn(program(dir.path(), "echo hello; exec sleep 600")).unwrap();
        let error = plane.wait_ready::<NodeReady>(Duration::from_secs(10)).await.unwrap_err();
        assert!(matches!(error, PlaneError::Line { .. }), "{error}");
        let mut plane = Plane::spawn(program(dir.path(), "exec sleep 600")).unwrap();
        let error = plane.wait_ready::<NodeReady>(Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, PlaneError::Late { .. }), "{error}");
    }
}
