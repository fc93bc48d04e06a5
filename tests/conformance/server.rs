//! The scenarios for servers: first the servers that stand behind, each by itself, so that what fails later is known to be ours.

use anyhow::{Context as _, Result, ensure};
use toolmesh_tests::TestResult;
use toolmesh_tests::everything::{Eras, Everything, Sdk};
use toolmesh_tests::schema::MODERN;

use crate::suite::{Suite, installed};

/// The newest revision that begins with `initialize`.
pub const SESSIONS: &str = "2025-11-25";

/// The scenarios that a revision requires of servers, as the suite lists them.
fn required(revision: &str) -> Result<Vec<String>> {
    let file = installed(&format!("@modelcontextprotocol/conformance/requirements/{revision}.yaml"))?;
    let text = std::fs::read_to_string(file)?;
    let list = text.split_once("\nserver:\n").context("no scenarios for servers")?.1;
    let names = list.lines().map_while(|line| line.strip_prefix("  - ")).map(|name| name.trim().to_owned());
    let names: Vec<_> = names.collect();
    ensure!(names.len() >= 30, "{revision} requires only {} scenarios", names.len());
    Ok(names)
}

/// Lets the suite judge an endpoint: all that the revision requires.
pub async fn judge(url: &str, revision: &str) -> TestResult {
    let suite = Suite::start("server", &["--url", url, "--requirements", revision])?;
    let scenarios = required(revision)?;
    let scenarios: Vec<&str> = scenarios.iter().map(String::as_str).collect();
    suite.passed(&scenarios).await.with_context(|| format!("in revision {revision}"))
}

async fn by_itself(sdk: Sdk) -> TestResult {
    let everything = Everything::start(sdk, Eras::Both).await?;
    for revision in [SESSIONS, MODERN] {
        judge(&everything.url, revision).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_server_on_the_rust_sdk_passes_by_itself() -> TestResult {
    by_itself(Sdk::Rust).await
}

#[tokio::test]
async fn the_server_on_the_typescript_sdk_passes_by_itself() -> TestResult {
    by_itself(Sdk::TypeScript).await
}
