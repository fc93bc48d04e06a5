//! The screens that the journey does not pass: members, keys, settings, errors, and the pages for people on a workspace's host.

use anyhow::{Context as _, ensure};
use toolmesh_tests::browser::Browser;
use toolmesh_tests::{System, TestResult};

pub(crate) use crate::log_in;

#[tokio::test]
async fn members_keys_and_settings_are_finished_pages() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let guest = system.person().await?;
    system.join(&workspace, &guest, "member").await?;
    let browser = Browser::open().await?;
    browser.go(&system.console_url("/login")).await?;
    browser.inspect("30-log-in").await?;
    log_in(&browser, system, &workspace.owner).await?;
    browser.inspect("31-workspaces").await?;
    let page = |rest: &str| system.console_url(&format!("/w/{}{rest}", workspace.slug));
    browser.go(&page("/members")).await?;
    browser.read(&guest.email).await?;
    browser.inspect("32-members").await?;
    browser.go(&page("/settings")).await?;
    browser.read(&workspace.tenant_id).await?;
    browser.inspect("33-settings").await?;
    browser.go(&page("/settings/endpoint")).await?;
    browser.fill("browser_origins", "https://chat.example.com").await?;
    browser.submit("/settings/endpoint/origins").await?;
    browser.read("is saved").await?;
    browser.inspect("36-endpoint").await?;
    browser.go(&page("/keys")).await?;
    browser.fill("name", "laptop").await?;
    browser.submit("/keys").await?;
    browser.read("once").await?;
    browser.inspect("34-key-shown-once").await?;
    browser.go(&page("/keys")).await?;
    browser.read("laptop").await?;
    browser.inspect("35-keys").await?;
    browser.close().await
}

#[tokio::test]
async fn errors_are_pages_with_a_way_out() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    for (name, path) in
        [("40-not-found", "/no-such-page"), ("41-no-such-workspace", "/w/no-such-workspace-1")]
    {
        browser.go(&system.console_url(path)).await?;
        browser.pictures(name).await?;
        browser.accessible().await?;
        browser.see("a[href]").await.context("no way out")?;
        // The browser notes that the page itself is an answer 404; nothing else may be wrong.
        let complaints = browser.complaints().await?;
        let others: Vec<_> = complaints.iter().filter(|line| !line.contains("404")).collect();
        ensure!(others.is_empty(), "{others:?}");
    }
    browser.go(&system.console_url("/workspaces/new")).await?;
    browser.fill("name", "Söhne & Co").await?;
    browser.fill("slug", &workspace.slug).await?;
    browser.submit("/workspaces/new").await?;
    browser.read("taken").await?;
    let name = browser.see("input[name=name]").await?.prop("value").await?;
    ensure!(name.as_deref() == Some("Söhne & Co"), "what was typed is lost: {name:?}");
    browser.pictures("42-slug-taken").await?;
    browser.accessible().await?;
    browser.go(&system.console_url(&format!("/w/{}/settings/endpoint", workspace.slug))).await?;
    browser.fill("browser_origins", "https://chat.example.com/x").await?;
    browser.submit("/settings/endpoint/origins").await?;
    browser.read("more than an origin").await?;
    browser.pictures("43-endpoint-refused").await?;
    browser.accessible().await?;
    browser.close().await
}

#[tokio::test]
async fn a_person_who_opens_the_endpoint_learns_what_it_is() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let browser = Browser::open().await?;
    for (name, url) in
        [("50-tenant-home", format!("{}/", workspace.origin)), ("51-endpoint", workspace.mcp_url.clone())]
    {
        browser.go(&url).await?;
        browser.read(&workspace.mcp_url).await?;
        browser
            .see("button[data-copies=address]:not([hidden])")
            .await
            .context("the address cannot be copied")?;
        browser.inspect(name).await?;
    }
    let nobody = workspace.origin.replace(&workspace.slug, "nobody-is-here");
    for (name, url, says) in [
        ("52-no-such-page", format!("{}/no-such-page", workspace.origin), "Nothing is here"),
        ("53-no-workspace", format!("{nobody}/mcp"), "No workspace is here"),
    ] {
        browser.go(&url).await?;
        browser.read(says).await?;
        browser.see(".links a[href]").await.context("no way out")?;
        browser.pictures(name).await?;
        browser.accessible().await?;
        // The browser's console has its say about an answer 404.
        browser.complaints().await?;
    }
    browser.close().await
}
