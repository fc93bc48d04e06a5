//! The scenarios for servers, through nodes: what stands behind is a server that passes them by itself. The suite shows no token, so
//! a proxy in front shows one for it; the endpoint is the real one.

use anyhow::Result;
use tokio::sync::OnceCell;
use toolmesh_tests::everything::{Eras, Sdk};
use toolmesh_tests::everywhere::Everywhere;
use toolmesh_tests::relay::Held;
use toolmesh_tests::schema::MODERN;
use toolmesh_tests::system::Options;
use toolmesh_tests::{System, TestResult};

use crate::server::{SESSIONS, judge};

/// A system with three nodes, which these tests share.
pub async fn system() -> Result<&'static System> {
    static SYSTEM: OnceCell<System> = OnceCell::const_new();
    SYSTEM.get_or_try_init(|| System::start(Options { nodes: 3, ..Options::default() })).await
}

async fn through(nodes: usize, sdk: Sdk, eras: Eras, revisions: &[&str]) -> TestResult {
    let everywhere = Everywhere::new(system().await?, sdk, eras, &[]).await?;
    for revision in revisions {
        let front = everywhere.front(nodes, Held::Answers)?;
        judge(&format!("{}/mcp", front.url), revision).await?;
        front.clean()?;
    }
    everywhere.upstream.clean()
}

#[tokio::test]
async fn the_server_on_the_rust_sdk_passes_through_a_node() -> TestResult {
    through(1, Sdk::Rust, Eras::Both, &[SESSIONS, MODERN]).await
}

#[tokio::test]
async fn the_server_on_the_typescript_sdk_passes_through_a_node() -> TestResult {
    through(1, Sdk::TypeScript, Eras::Both, &[SESSIONS, MODERN]).await
}

#[tokio::test]
async fn three_nodes_in_turn_are_one_server() -> TestResult {
    through(3, Sdk::Rust, Eras::Both, &[SESSIONS, MODERN]).await
}

#[tokio::test]
async fn clients_of_the_older_era_have_all_that_a_server_of_the_newer_alone_has() -> TestResult {
    through(3, Sdk::Rust, Eras::Modern, &[SESSIONS]).await
}

#[tokio::test]
async fn a_server_of_the_older_era_alone_has_sessions_with_three_nodes() -> TestResult {
    through(3, Sdk::TypeScript, Eras::Legacy, &[SESSIONS]).await
}
