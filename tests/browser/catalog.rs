//! The catalog as people see it: every connector under a picture of its own.

use std::collections::HashSet;

use anyhow::{Context as _, ensure};
use toolmesh_tests::browser::Browser;
use toolmesh_tests::{System, TestResult};

use crate::log_in;

#[tokio::test]
async fn every_connector_stands_in_the_catalog_with_a_picture_of_its_own() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    let page = |rest: &str| system.console_url(&format!("/w/{}/catalog{rest}", workspace.slug));
    browser.go(&page("")).await?;
    browser.read("Google Calendar").await?;
    browser.inspect("60-catalog-of-all").await?;
    let script = "return [...document.querySelectorAll('main img.logo')].map(i => [i.src, i.naturalWidth])";
    let shown = browser.client.execute(script, Vec::new()).await?;
    let shown = shown.as_array().context("no pictures")?;
    ensure!(shown.len() >= 24, "{} pictures", shown.len());
    let mut seen = HashSet::new();
    for picture in shown {
        let source = picture[0].as_str().context("no source")?;
        ensure!(picture[1].as_u64().is_some_and(|width| width > 0), "{source} does not load");
        ensure!(!source.contains("generic") && seen.insert(source), "{source} is nobody's own");
    }
    for (name, path) in [
        ("61-connector", "/google-calendar"),
        ("62-enable", "/prometheus/enable"),
        ("63-enable", "/jira/enable"),
    ] {
        browser.go(&page(path)).await?;
        browser.inspect(name).await?;
    }
    // Authors write names between backticks; people see them as code.
    browser.go(&page("/github")).await?;
    browser.see(".tool-list p code").await?;
    ensure!(!browser.text().await?.contains('`'), "a backtick is on the page");
    browser.close().await
}
