//! `ready.json` in the data folder: there while everything runs, for scripts, tests and `toolmesh admin`.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::{files, process};

/// A running installation. No `Debug`: the database's and the mail server's URLs hold passwords.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ready {
    pub console_url: String,
    /// Pattern with `{slug}`.
    pub tenant_url: String,
    /// `None` when mail goes to a real server.
    pub mailbox_url: Option<String>,
    pub nodes: Vec<RunningNode>,
    pub control_plane: RunningControlPlane,
    /// Process id of `toolmesh up`.
    pub pid: u32,
    pub database_url: String,
    /// Whether connectors may call private addresses, which the operator's commands must know too.
    #[serde(default)]
    pub allow_private_upstreams: bool,
    /// Where mail goes, and from whom: the operator's commands send some too. Empty in the file of an older version.
    #[serde(default)]
    pub smtp_url: String,
    #[serde(default)]
    pub mail_from: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunningNode {
    pub name: String,
    pub http: SocketAddr,
    pub pid: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunningControlPlane {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub pid: u32,
}

impl Ready {
    /// Where the file is.
    #[must_use]
    pub fn path(data: &Path) -> PathBuf {
        data.join("ready.json")
    }

    /// Reads the file; `None` when nothing runs, or what is there is no such file.
    #[must_use]
    pub fn read(data: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(data)).ok()?).ok()
    }

    /// Writes the file whole, readable by its owner alone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, data: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        files::write_private(&Self::path(data), &text)
    }

    /// Removes the file.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(data: &Path) -> io::Result<()> {
        files::remove_if_there(&Self::path(data))
    }
}

/// Stops the planes of an earlier start that was killed together with their guards. The caller holds the folder's lock, so
/// that the file is surely of an earlier start. Returns the numbers of the processes it stopped.
///
/// # Errors
/// When the file cannot be removed.
pub async fn stop_leftovers(data: &Path) -> io::Result<Vec<u32>> {
    let mut stopped = Vec::new();
    if let Some(ready) = Ready::read(data) {
        let nodes = ready.nodes.iter().map(|node| (node.pid, "toolmesh-data-plane"));
        let all = nodes.chain([(ready.control_plane.pid, "toolmesh-control-plane")]);
        for (number, program) in all {
            let Ok(pid) = i32::try_from(number) else { continue };
            // Numbers are used again: only a process that is the plane's program is stopped.
            if process::command_line(pid).is_some_and(|line| line.contains(program)) {
                process::stop_stranger(pid, Signal::SIGTERM, Duration::from_secs(10)).await;
                stopped.push(number);
            }
        }
    }
    Ready::remove(data)?;
    Ok(stopped)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn ready(pid: u32) -> Ready {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Ready {
            console_url: "http://localhost:8080".into(),
            tenant_url: "http://{slug}.localhost:8080".into(),
            mailbox_url: None,
            nodes: vec![RunningNode { name: "node-1".into(), http: address, pid }],
            control_plane: RunningControlPlane { http: address, grpc: address, pid },
            pid,
            database_url: "postgres://x".into(),
            allow_private_upstreams: false,
            smtp_url: String::new(),
            mail_from: String::new(),
        }
    }

    #[tokio::test]
    async fn a_file_left_by_a_killed_start_goes_and_other_processes_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        ready(std::process::id()).write(dir.path()).unwrap();
        let mode = std::fs::metadata(Ready::path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Ready::read(dir.path()).is_some());

        assert!(stop_leftovers(dir.path()).await.unwrap().is_empty(), "this process is no plane");

        assert!(Ready::read(dir.path()).is_none());
    }
}
