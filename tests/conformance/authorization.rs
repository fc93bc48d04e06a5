//! The scenarios for authorization servers, against a workspace's issuer, with a person in Chromium.

use anyhow::{Context as _, ensure};
use serde_json::json;
use toolmesh_tests::browser::Browser;
use toolmesh_tests::{System, TestResult, net};

use crate::suite::Suite;

#[tokio::test]
async fn a_workspaces_issuer_passes_both_authorization_scenarios() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let port = net::free_port()?.to_string();
    let redirect = format!("http://127.0.0.1:{port}/callback");
    let registration = json!({"client_name": "Conformance suite", "redirect_uris": [redirect]});
    let server = system.oauth(&workspace).await?;
    let client = server.register(&registration).await?.json()?;
    let client = client["client_id"].as_str().context("no client id")?;

    let issuer = server.issuer()?;
    let args = ["--url", &issuer, "--client-id", client, "--resource", &workspace.mcp_url, "--port", &port];
    let mut suite = Suite::start("authorization", &args)?;
    let url = suite.line("http").await?;
    ensure!(url.starts_with(&system.ready.console_url), "the person is sent to {url}");

    let browser = Browser::open().await?;
    browser.go(&url).await?;
    browser.at("/login").await?;
    browser.fill("email", &workspace.owner.email).await?;
    browser.fill("password", &workspace.owner.password).await?;
    browser.click("log in").await?;
    browser.read("Conformance suite").await?;
    browser.click("allow").await?;
    browser.read("you can close this page").await?;
    browser.close().await?;
    suite.passed(&["authorization-server-metadata-endpoint", "authorization-code-grant"]).await
}
