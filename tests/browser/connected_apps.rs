//! Connected apps, as a member and as an owner see them.

use anyhow::ensure;
use toolmesh_tests::browser::Browser;
use toolmesh_tests::{System, TestResult};

use crate::log_in;

#[tokio::test]
async fn connected_apps_are_a_finished_page() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let page = |rest: &str| system.console_url(&format!("/w/{}/connected-apps{rest}", workspace.slug));
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    browser.go(&page("")).await?;
    browser.read("No apps yet").await?;
    browser.inspect("80-connected-apps-none").await?;

    let guest = system.person().await?;
    system.join(&workspace, &guest, "member").await?;
    for person in [&workspace.owner, &guest, &guest] {
        system.tokens(&workspace, person).await?;
    }
    browser.go(&page("")).await?;
    browser.read("client.example").await?;
    browser.inspect("81-connected-apps").await?;
    browser.go(&page(&format!("?user={}", guest.user_id))).await?;
    browser.read("Disconnect all of these").await?;
    browser.inspect("82-connected-apps-of-one").await?;
    browser.go(&page("/end")).await?;
    browser.read("What stops working").await?;
    browser.inspect("83-disconnect-everything").await?;
    browser.fill("confirm", "not the name").await?;
    browser.submit("/connected-apps/end").await?;
    browser.read(&format!("Type {} here", workspace.slug)).await?;
    browser.pictures("84-disconnect-refused").await?;
    // The browser notes that the page itself is an answer 422; nothing else may be wrong.
    let others: Vec<_> =
        browser.complaints().await?.into_iter().filter(|line| !line.contains("422")).collect();
    ensure!(others.is_empty(), "{others:?}");
    browser.fill("confirm", &workspace.slug).await?;
    browser.submit("/connected-apps/end").await?;
    browser.read("In force on").await?;
    browser.inspect("85-disconnected").await?;
    browser.close().await
}
