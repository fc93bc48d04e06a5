//! Connecting a connector to an account at its provider, as a person does it with a browser.

use anyhow::{Result, ensure};
use serde_json::json;
use toolmesh_tests::browser::Browser;
use toolmesh_tests::servers::ServerAuth;
use toolmesh_tests::token_server::{CLIENT, SECRET, TokenServer};
use toolmesh_tests::{System, TestResult, paths};

use crate::mcp_servers::scripted::{Scripted, tool};
use crate::screens::log_in;

fn document() -> Result<std::path::PathBuf> {
    let text = "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nbackend:\n  name: demo\n  type: rest\n  description: An API that wants a token.\n  auth: {type: oauth2, flow: authorization_code, authorize_url: /authorize, token_url: /token, client_id_credential: client_id, client_secret_credential: client_secret, refresh_token_credential: refresh, scopes: [read, 'https://provider.example/auth/calendar.events.readonly']}\n  tools:\n    whoami: {method: GET, path: /api/me, access: read, description: Says who is calling.}\n";
    let file = paths::scratch("toolmesh-connect-")?.keep().join("demo.dadl");
    std::fs::write(&file, text)?;
    Ok(file)
}

#[tokio::test]
async fn a_person_connects_an_account_sees_what_is_wrong_and_reconnects() -> TestResult {
    let (system, server) = (System::shared().await?, TokenServer::start()?);
    let workspace = system.workspace().await?;
    let credentials = [("client_id", CLIENT), ("client_secret", SECRET)];
    let made = system.enable_file(&workspace.slug, &document()?, "demo", &server.url, &credentials).await?;
    let page = format!("/w/{}/connectors/{}", workspace.slug, made.id);
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    browser.go(&system.console_url(&page)).await?;
    browser.read("Not connected").await?;
    browser.inspect("36-not-connected").await?;
    browser.submit(&format!("{page}/connect")).await?;
    browser.read("ada@provider.example").await?;
    browser.inspect("37-connected").await?;

    system.offered_everywhere(&workspace, "demo_whoami").await?;
    server.end_all();
    server.end_refresh();
    let mcp = system.mcp(&workspace, &workspace.key);
    for _ in 0..3 {
        mcp.call("demo_whoami", json!({})).await?;
    }
    browser.go(&system.console_url(&page)).await?;
    browser.read("Reconnect").await?;
    browser.inspect("38-connection-ended").await?;
    browser.close().await
}

#[tokio::test]
async fn a_member_connects_an_account_of_their_own() -> TestResult {
    let (system, server) = (System::shared().await?, TokenServer::start()?);
    let workspace = system.workspace().await?;
    let credentials = [("client_id", CLIENT), ("client_secret", SECRET)];
    let made = system.enable_file(&workspace.slug, &document()?, "demo", &server.url, &credentials).await?;
    let connector = format!("/w/{}/connectors/{}", workspace.slug, made.id);
    let list = format!("/w/{}/connections", workspace.slug);
    let page = format!("{list}/{}", made.id);
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    browser.go(&system.console_url(&list)).await?;
    browser.read("No connector asks for an account of your own").await?;
    browser.inspect("77-no-connections").await?;
    let owner = system.console(&workspace.owner).await?;
    owner.submit(&connector, &format!("{connector}/accounts"), &[("accounts", "personal")]).await?.ok()?;
    browser.go(&system.console_url(&connector)).await?;
    browser.read("Whose account is used").await?;
    browser.inspect("78-whose-account").await?;
    browser.go(&system.console_url(&list)).await?;
    browser.read("Not connected").await?;
    browser.inspect("79-connections").await?;
    browser.go(&system.console_url(&format!("/w/{}", workspace.slug))).await?;
    browser.read("waits for an account of your own").await?;
    browser.inspect("79-overview-waits").await?;
    browser.go(&system.console_url(&page)).await?;
    browser.read("Your account").await?;
    browser.inspect("80-connection-waits").await?;
    browser.submit(&format!("{page}/connect")).await?;
    browser.read("ada@provider.example").await?;
    browser.inspect("81-own-connection").await?;
    browser.go(&system.console_url(&format!("/w/{}", workspace.slug))).await?;
    browser.read("Getting started").await?;
    let text = browser.text().await?;
    ensure!(!text.contains("waits for an account of your own"), "{text}");
    browser.close().await
}

#[tokio::test]
async fn a_member_enters_a_key_of_their_own() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let server = Scripted::start(&[tool("find", "Finds orders.", "q")], Some("s3cret-token")).await?;
    let auth = ServerAuth::Bearer("s3cret-token");
    let id = system.add_mcp_server(&workspace, "orders", &server.url(), auth).await?.id;
    let connector = format!("/w/{}/connectors/{id}", workspace.slug);
    let owner = system.console(&workspace.owner).await?;
    owner.submit(&connector, &format!("{connector}/accounts"), &[("accounts", "personal")]).await?.ok()?;
    let page = format!("/w/{}/connections/{id}", workspace.slug);
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    browser.go(&system.console_url(&page)).await?;
    browser.read("Your calls then use it").await?;
    browser.inspect("76-key-to-enter").await?;
    browser.fill("credential.token", "s3cret-token").await?;
    browser.submit(&format!("{page}/enter")).await?;
    browser.read("ends in").await?;
    browser.inspect("76-key-entered").await?;
    browser.go(&system.console_url(&connector)).await?;
    browser.read("member has connected an account").await?;
    browser.inspect("76-accounts-of-a-server").await?;
    browser.close().await
}
