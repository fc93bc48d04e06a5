//! A process that never outlives the test run: a small shell keeps it and stops it when this process lets go or dies.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::eventually;

const KEEPER: &str = include_str!("keeper.sh");

/// A program under a keeper.
#[derive(Debug)]
pub struct Kept {
    name: String,
    keeper: Child,
    log: PathBuf,
}

/// What to run and what to do when it ends.
#[derive(Debug)]
pub struct Start<'a> {
    /// For messages.
    pub name: &'a str,
    pub program: &'a Path,
    pub log: &'a Path,
    /// Removed when the program has ended.
    pub clean: Option<&'a Path>,
    /// Where the logs below `clean` are copied to before.
    pub save: Option<&'a Path>,
}

impl Kept {
    /// Starts a program in a process group of its own.
    ///
    /// # Errors
    /// When the keeper cannot be started.
    pub fn start<A: AsRef<OsStr>>(start: &Start<'_>, args: &[A], envs: &[(&str, &str)]) -> Result<Self> {
        let empty = Path::new("");
        let keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(start.program)
            .args(args)
            .envs(envs.iter().copied())
            .env("KEEPER_LOG", start.log)
            .env("KEEPER_CLEAN", start.clean.unwrap_or(empty))
            .env("KEEPER_SAVE", start.save.unwrap_or(empty))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", start.name))?;
        Ok(Self { name: start.name.to_owned(), keeper, log: start.log.to_path_buf() })
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// When the system will not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.keeper.try_wait()?)
    }

    /// Waits for the program to end by itself.
    ///
    /// # Errors
    /// At the deadline.
    pub async fn end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        let keeper = &mut self.keeper;
        eventually(&format!("{name} ends"), limit, || {
            let ended = keeper.try_wait();
            async move { Ok(ended?) }
        })
        .await
    }

    /// All it has printed.
    #[must_use]
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks what it printed until `found` finds something in it.
    ///
    /// # Errors
    /// When the program ends before, or at the deadline; with the end of what it printed.
    pub async fn until_printed<T>(
        &mut self,
        what: &str,
        limit: Duration,
        found: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let start = std::time::Instant::now();
        loop {
            if let Some(found) = found(&self.printed()) {
                return Ok(found);
            }
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status} before {what}:\n{}", self.name, tail(&self.printed()));
            }
            if start.elapsed() > limit {
                bail!("{}: waited {limit:?} in vain for {what}:\n{}", self.name, tail(&self.printed()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets go and waits until the keeper has stopped everything; at most about ten seconds.
    ///
    /// # Errors
    /// When the system will not say.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        drop(self.keeper.stdin.take());
        Ok(self.keeper.wait()?)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("cannot stop {}: {error}", self.name);
        }
    }
}

/// The last lines of a text.
#[must_use]
pub fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(script: &str, folder: &Path) -> Result<Kept> {
        let log = folder.join("out.log");
        let start = Start { name: "sh", program: Path::new("/bin/sh"), log: &log, clean: None, save: None };
        Kept::start(&start, &["-c", script], &[])
    }

    #[tokio::test]
    async fn letting_go_stops_the_program_and_its_children() -> Result<()> {
        let folder = crate::paths::scratch("kept")?;
        let mut program = kept("sleep 600 & echo child $!; wait", folder.path())?;
        let child: i32 = program
            .until_printed("the child's number", Duration::from_secs(10), |text| {
                text.strip_prefix("child ").and_then(|number| number.trim().parse().ok())
            })
            .await?;
        program.stop()?;
        let pid = nix::unistd::Pid::from_raw(child);
        eventually("the child is gone", Duration::from_secs(10), || async {
            Ok(nix::sys::signal::kill(pid, None).is_err().then_some(()))
        })
        .await
    }

    #[tokio::test]
    async fn a_program_that_ends_too_early_shows_what_it_said() -> Result<()> {
        let folder = crate::paths::scratch("kept")?;
        let mut program = kept("echo the port is in use; exit 3", folder.path())?;
        let error = program
            .until_printed("readiness", Duration::from_secs(10), |_| None::<()>)
            .await
            .expect_err("it never gets ready")
            .to_string();
        assert!(error.contains("the port is in use") && error.contains('3'), "{error}");
        Ok(())
    }

    #[tokio::test]
    async fn the_folder_is_removed_and_its_logs_are_kept() -> Result<()> {
        let folder = crate::paths::scratch("kept")?;
        let (clean, save) = (folder.path().join("data"), folder.path().join("saved"));
        std::fs::create_dir_all(clean.join("logs"))?;
        std::fs::write(clean.join("logs/node-1.log"), "hello")?;
        let log = folder.path().join("out.log");
        let start = Start {
            name: "sh",
            program: Path::new("/bin/sh"),
            log: &log,
            clean: Some(&clean),
            save: Some(&save),
        };
        Kept::start(&start, &["-c", "exec sleep 600"], &[])?.stop()?;
        assert!(!clean.exists());
        assert_eq!(std::fs::read_to_string(save.join("node-1.log"))?, "hello");
        Ok(())
    }
}
