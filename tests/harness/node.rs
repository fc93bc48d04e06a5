//! A data-plane node of a test's own, started from its binary as in production, so that it can be killed, restarted and cut off
//! without a look at other tests.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

use crate::child::{Kept, Start};
use crate::{System, paths, workspace};

/// A node and its folder.
#[derive(Debug)]
pub struct Node {
    /// `127.0.0.1:PORT`; another after each start.
    pub http: String,
    name: String,
    control_url: String,
    join_secret: PathBuf,
    folder: tempfile::TempDir,
    process: Kept,
}

#[derive(Deserialize)]
struct Ready {
    http: String,
}

impl Node {
    /// Starts a node with an empty folder. `control` is where it finds the control plane, `HOST:PORT`.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn start(system: &System, control: &str) -> Result<Self> {
        let folder = paths::scratch("toolmesh-node-")?;
        let name = format!("test-{}", workspace::unique());
        let join_secret = system.data.join("secrets/join_secret");
        let control_url = format!("http://{control}");
        let (process, http) = run(&name, &control_url, &join_secret, &folder, 1).await?;
        Ok(Self { http, name, control_url, join_secret, folder, process })
    }

    /// Kills it as the kernel would when memory is short, and starts it again on the same folder.
    ///
    /// # Errors
    /// When it does not get ready again.
    pub async fn kill_and_start(&mut self) -> Result<()> {
        let pid = self.pid()?;
        kill(Pid::from_raw(pid), Signal::SIGKILL).context("the node is not there to be killed")?;
        self.process.end(Duration::from_secs(10)).await?;
        let life = self.lives() + 1;
        let (process, http) =
            run(&self.name, &self.control_url, &self.join_secret, &self.folder, life).await?;
        (self.process, self.http) = (process, http);
        Ok(())
    }

    /// What it has logged in this life.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.printed()
    }

    fn lives(&self) -> usize {
        (1..).take_while(|life| self.folder.path().join(format!("life-{life}.log")).exists()).count()
    }

    /// The process that listens: found by the name in its environment, since its keeper is another.
    fn pid(&self) -> Result<i32> {
        let text =
            std::fs::read_to_string(self.folder.path().join("pid")).context("the node wrote no pid")?;
        Ok(text.trim().parse()?)
    }
}

async fn run(
    name: &str,
    control_url: &str,
    join_secret: &std::path::Path,
    folder: &tempfile::TempDir,
    life: usize,
) -> Result<(Kept, String)> {
    let binary = paths::binary("toolmesh-data-plane")?;
    let log = folder.path().join(format!("life-{life}.log"));
    let state = folder.path().join("state");
    let start = Start {
        name: "a node",
        program: std::path::Path::new("/bin/sh"),
        log: &log,
        clean: None,
        save: None,
    };
    let pid_file = folder.path().join("pid");
    let (state, secret) = (state.display().to_string(), join_secret.display().to_string());
    let (binary, pid_file) = (binary.display().to_string(), pid_file.display().to_string());
    let envs = [
        ("TOOLMESH_CONTROL_URL", control_url),
        ("TOOLMESH_JOIN_SECRET_FILE", secret.as_str()),
        ("TOOLMESH_HTTP_LISTEN", "127.0.0.1:0"),
        ("TOOLMESH_PEER_LISTEN", "127.0.0.1:0"),
        ("TOOLMESH_STATE_DIR", state.as_str()),
        ("TOOLMESH_NODE_NAME", name),
        ("TOOLMESH_ALLOW_PRIVATE_UPSTREAMS", "true"),
        ("TOOLMESH_TRUSTED_PROXIES", "127.0.0.1/32"),
    ];
    // The shell becomes the node, so the number it writes is the node's.
    let script = r#"echo $$ >"$1"; exec "$2""#;
    let mut process = Kept::start(&start, &["-c", script, "node", &pid_file, &binary], &envs)?;
    let http = process
        .until_printed("the node was ready", Duration::from_secs(60), |text| {
            let line = text.lines().find_map(|line| line.strip_prefix("ready "))?;
            serde_json::from_str::<Ready>(line).ok().map(|ready| ready.http)
        })
        .await?;
    Ok((process, http))
}
