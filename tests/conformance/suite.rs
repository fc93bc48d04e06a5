//! The suite as a process, and what it found.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toolmesh_tests::child::{Kept, Start};
use toolmesh_tests::{TestResult, eventually, paths};

/// How long the suite may take for one step.
pub const STEP: Duration = Duration::from_secs(60);
/// How long all scenarios of a revision may take, on a busy machine.
const WHOLE: Duration = Duration::from_secs(240);

/// A run of the suite.
pub struct Suite {
    process: Kept,
    folder: tempfile::TempDir,
}

/// A file of the suite's packages.
pub fn installed(path: &str) -> Result<PathBuf> {
    let path = paths::root().join("tests/conformance/node_modules").join(path);
    ensure!(path.exists(), "install the suite first (tests/install conformance): no {}", path.display());
    Ok(path)
}

impl Suite {
    /// Starts it with these arguments; its results go to a folder of its own.
    pub fn start(command: &str, args: &[&str]) -> Result<Self> {
        Self::with(command, args, &[])
    }

    /// The same, with more in its environment, which the program that it starts has too.
    pub fn with(command: &str, args: &[&str], envs: &[(&str, &str)]) -> Result<Self> {
        let folder = paths::scratch("toolmesh-conformance-")?;
        let node = installed(".bin/node")?;
        let script = installed("@modelcontextprotocol/conformance/dist/index.js")?.display().to_string();
        let results = folder.path().display().to_string();
        let log = folder.path().join("suite.log");
        let save = paths::output("conformance")?.join(command);
        let preload = format!("--require {}", paths::client("node/resolve-localhost.cjs").display());
        let start = Start {
            name: "the conformance suite",
            program: &node,
            log: &log,
            clean: None,
            save: Some(&save),
        };
        let mut all = vec![script.as_str(), command];
        all.extend_from_slice(args);
        all.extend_from_slice(&["--output-dir", &results]);
        let mut all_envs = vec![("NODE_OPTIONS", preload.as_str())];
        all_envs.extend_from_slice(envs);
        let process = Kept::start(&start, &all, &all_envs)?;
        Ok(Self { process, folder })
    }

    /// Waits for a line that begins like this, and answers it.
    pub async fn line(&mut self, begin: &str) -> Result<String> {
        self.process
            .until_printed(begin, STEP, |text| {
                // Only whole lines: the last may still be on its way.
                let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
                whole.lines().find(|line| line.starts_with(begin)).map(str::to_owned)
            })
            .await
    }

    /// Waits for its end and holds it to every check of these scenarios.
    pub async fn passed(mut self, scenarios: &[&str]) -> TestResult {
        let status = self.process.end(WHOLE).await?;
        let printed = self.process.printed();
        let mut wrong = Vec::new();
        for scenario in scenarios {
            let checks = self.checks(scenario).with_context(|| format!("{scenario}:\n{printed}"))?;
            ensure!(!checks.is_empty(), "{scenario} checked nothing");
            let failed = checks
                .into_iter()
                .filter(|check| !matches!(check["status"].as_str(), Some("SUCCESS" | "INFO")));
            wrong.extend(failed.map(|check| format!("{scenario}: {check:#}")));
        }
        ensure!(wrong.is_empty(), "{} checks did not succeed:\n{}\n{printed}", wrong.len(), wrong.join("\n"));
        ensure!(status.success(), "the suite ended with {status}:\n{printed}");
        Ok(())
    }

    /// The same for a client. What the suite notes down is no check, and neither is what a client of another era would do.
    pub async fn client_passed(mut self, scenario: &str) -> TestResult {
        let status = self.process.end(STEP).await?;
        let printed = self.process.printed();
        ensure!(status.success(), "the suite ended with {status}:\n{printed}");
        let checks = self.checks(scenario).with_context(|| format!("{scenario}:\n{printed}"))?;
        fine(scenario, &checks)
    }

    /// The same for a client that goes on: it is judged when it says that it is done, and some of the suite's servers do not end
    /// before a client's last connection has.
    pub async fn client_judged(self, scenario: &str) -> TestResult {
        let judged = eventually("the suite's results", STEP, || async { Ok(self.checks(scenario).ok()) });
        let checks = judged.await.with_context(|| self.process.printed())?;
        fine(scenario, &checks).with_context(|| self.process.printed())
    }

    fn checks(&self, scenario: &str) -> Result<Vec<Value>> {
        let file = find(self.folder.path(), scenario)?.context("no results")?;
        Ok(serde_json::from_slice(&std::fs::read(file)?)?)
    }
}

/// Holds a client to these checks.
fn fine(scenario: &str, checks: &[Value]) -> TestResult {
    ensure!(checks.iter().any(|check| check["status"] == "SUCCESS"), "{scenario} checked nothing");
    for check in checks {
        let fine = ["SUCCESS", "INFO", "SKIPPED"].iter().any(|fine| check["status"] == *fine);
        ensure!(fine, "{scenario}: {check:#}");
    }
    Ok(())
}

/// The results of a scenario: the suite adds the time to the name of each folder, and a scenario's group is a folder around it.
fn find(folder: &Path, scenario: &str) -> Result<Option<PathBuf>> {
    let (folder, scenario) = match scenario.rsplit_once('/') {
        Some((group, name)) => (folder.join(group), name),
        None => (folder.to_path_buf(), scenario),
    };
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_it = name.contains(&format!("{scenario}-20")) || name.ends_with(scenario);
        if is_it && path.join("checks.json").is_file() {
            return Ok(Some(path.join("checks.json")));
        }
    }
    Ok(None)
}
