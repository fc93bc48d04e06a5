//! The console in real Chromium: the journey from signing up to the first call in the audit log, each screen looked at in the
//! light, the dark and the phone's window, with pictures kept in `tests/output/screens`.

mod account;
mod catalog;
mod connected_apps;
mod connections;
mod journey;
mod machines;
mod mcp_servers;
mod members;
mod oauth_clients;
mod own_connectors;
mod passkeys;
mod screens;
mod server_logins;
mod sign_in;

use anyhow::Result;
use toolmesh_tests::browser::Browser;
use toolmesh_tests::{Person, System};

/// Logs somebody in with their password, as far as the list of workspaces.
async fn log_in(browser: &Browser, system: &System, person: &Person) -> Result<()> {
    browser.go(&system.console_url("/login")).await?;
    browser.fill("email", &person.email).await?;
    browser.fill("password", &person.password).await?;
    browser.submit("/login").await?;
    browser.at("/workspaces").await?;
    Ok(())
}
