//! Keys and service accounts: each page empty, filled and after a mistake.

use anyhow::{Result, ensure};
use toolmesh_tests::browser::Browser;
use toolmesh_tests::oauth::{Pkce, REDIRECT, with};
use toolmesh_tests::signer::Signer;
use toolmesh_tests::tls::{Reply, TlsSite};
use toolmesh_tests::{System, TestResult};

use crate::log_in;

/// The browser notes that the page was an answer 422, as it was meant to be; nothing else may be wrong.
async fn mistaken(browser: &Browser) -> Result<()> {
    let complaints = browser.complaints().await?;
    let others: Vec<_> = complaints.iter().filter(|line| !line.contains("422")).collect();
    ensure!(others.is_empty(), "{others:?}");
    browser.accessible().await
}

#[tokio::test]
async fn keys_and_service_accounts_are_finished_pages() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    let page = |rest: &str| system.console_url(&format!("/w/{}{rest}", workspace.slug));
    browser.go(&page("/keys")).await?;
    browser.fill("name", "nightly report").await?;
    browser.submit("/keys").await?;
    browser.read("once").await?;
    browser.inspect("80-key-made").await?;
    browser.click("I have saved it").await?;
    browser.read("nightly report").await?;
    browser.inspect("81-keys").await?;
    browser.click("Manage nightly report").await?;
    browser.read("Roll the key").await?;
    browser.inspect("82-key").await?;
    browser.submit("/roll").await?;
    browser.read("The old secret works until").await?;
    browser.inspect("83-key-rolled").await?;

    browser.go(&page("/service-accounts")).await?;
    browser.read("No service accounts").await?;
    browser.inspect("84-no-service-accounts").await?;
    browser.fill("name", "deploy pipeline").await?;
    browser.fill("description", "Publishes the release notes").await?;
    browser.submit("/service-accounts").await?;
    browser.read("Give it a key").await?;
    browser.inspect("85-service-account-empty").await?;
    browser.fill("name", "ci").await?;
    browser.submit("/keys").await?;
    browser.click("I have saved it").await?;
    browser.read("deploy pipeline").await?;
    browser.inspect("86-service-account").await?;
    browser.fill("confirm", "something else").await?;
    browser.submit("/delete").await?;
    browser.read("Type deploy pipeline").await?;
    browser.pictures("87-service-account-not-deleted").await?;
    mistaken(&browser).await?;
    browser.go(&page("/service-accounts")).await?;
    browser.read("1 key").await?;
    browser.inspect("88-service-accounts").await?;
    browser.close().await
}

#[tokio::test]
async fn clients_of_machines_and_the_settings_for_access_are_finished_pages() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    let page = |rest: &str| system.console_url(&format!("/w/{}{rest}", workspace.slug));
    browser.go(&page("/service-accounts")).await?;
    browser.fill("name", "deploy pipeline").await?;
    browser.submit("/service-accounts").await?;
    browser.fill("client_name", "release bot").await?;
    browser.fill("keys", "no key at all").await?;
    browser.submit("/clients").await?;
    browser.read("key set").await?;
    browser.pictures("90-client-refused").await?;
    mistaken(&browser).await?;
    browser.fill("keys", &Signer::new()?.jwks().to_string()).await?;
    browser.submit("/clients").await?;
    browser.read("is registered as").await?;
    browser.inspect("91-client-registered").await?;

    browser.go(&page("/settings/access")).await?;
    browser.inspect("92-access").await?;
    browser.submit("/settings/access").await?;
    browser.read("Turn off").await?;
    browser.inspect("93-access-on").await?;

    browser.go(&page("/settings/identity-providers")).await?;
    browser.read("None is trusted").await?;
    browser.read("None is proven yet").await?;
    browser.inspect("94-identity-providers-none").await?;
    let idp = TlsSite::start().await?;
    browser.fill("issuer", &idp.url("")).await?;
    browser.submit("/settings/identity-providers").await?;
    browser.read("No discovery document").await?;
    browser.pictures("95-identity-provider-refused").await?;
    mistaken(&browser).await?;
    idp.put("/keys", Reply::json(&Signer::new()?.jwks()));
    browser.fill("jwks_uri", &idp.url("/keys")).await?;
    browser.submit("/settings/identity-providers").await?;
    browser.read("is trusted").await?;
    browser.inspect("96-identity-providers").await?;
    browser.close().await
}

#[tokio::test]
async fn the_page_that_asks_says_whether_it_is_about_reading_or_changing() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    system.enable(&workspace.slug, &["--connector", "github"], &[("github_token", "x")]).await?;
    let server = system.oauth(&workspace).await?;
    let client = server.client(REDIRECT).await?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    browser.go(&system.console_url(&format!("/w/{}/settings/access", workspace.slug))).await?;
    browser.submit("/settings/access").await?;
    browser.read("Writing needs its own permission now").await?;
    for (scope, says, name) in [
        ("mcp:tools", "It may only read", "97-consent-to-read"),
        ("mcp:tools mcp:write", "It asks for more than reading", "98-consent-to-write"),
    ] {
        let query = with(server.query(&client, REDIRECT, &Pkce::new()), "scope", scope);
        let url = url::Url::parse_with_params(&server.endpoint("authorization_endpoint")?, &query)?;
        browser.go(url.as_str()).await?;
        browser.read(says).await?;
        browser.inspect(name).await?;
    }
    browser.close().await
}
