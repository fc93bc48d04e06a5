//! The operator's command line, as an operator uses it: `toolmesh admin … --json`.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{System, paths};

/// What a command answered.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `toolmesh` with any arguments.
///
/// # Errors
/// When it cannot be started or does not end within a minute.
pub async fn toolmesh<A: AsRef<OsStr>>(args: &[A], envs: &[(&str, &str)]) -> Result<Ran> {
    let child = tokio::process::Command::new(paths::binary("toolmesh")?)
        .args(args)
        .envs(envs.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
        .await
        .context("toolmesh did not end within a minute")??;
    Ok(Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl System {
    /// Runs `toolmesh admin` on this system, without `--json`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn run_admin(&self, args: &[&str]) -> Result<Ran> {
        let data = self.data.display().to_string();
        let args: Vec<&str> = ["admin"].iter().chain(args).copied().chain(["--data", &data]).collect();
        toolmesh(&args, &[]).await
    }

    /// Runs `toolmesh admin … --json` on this system and reads the answer.
    ///
    /// # Errors
    /// When the command refuses; with its sentence.
    pub async fn admin(&self, args: &[&str]) -> Result<Value> {
        let mut args = args.to_vec();
        args.push("--json");
        let ran = self.run_admin(&args).await?;
        if ran.code != Some(0) {
            bail!("toolmesh admin {}: exit {:?}: {}", args.join(" "), ran.code, ran.stderr.trim());
        }
        serde_json::from_str(&ran.stdout).with_context(|| format!("not JSON: {}", ran.stdout))
    }
}
