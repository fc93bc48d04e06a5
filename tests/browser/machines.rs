//! Keys and service accounts: each page empty, filled and after a mistake.

use anyhow::{Result, ensure};
use toolmesh_tests::browser::Browser;
use toolmesh_tests::{Person, System, TestResult};

async fn log_in(browser: &Browser, system: &System, person: &Person) -> Result<()> {
    browser.go(&system.console_url("/login")).await?;
    browser.fill("email", &person.email).await?;
    browser.fill("password", &person.password).await?;
    browser.submit("/login").await?;
    browser.at("/workspaces").await?;
    Ok(())
}

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
