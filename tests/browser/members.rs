//! The pages about people: members, one of them, what stops working without them, handing over, groups.

use anyhow::ensure;
use toolmesh_tests::browser::Browser;
use toolmesh_tests::{Person, System, TestResult};

use crate::log_in;

#[tokio::test]
async fn members_are_invited_changed_suspended_and_handed_the_workspace() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let (ana, bo) = (system.person().await?, system.person().await?);
    system.join(&workspace, &ana, "admin").await?;
    system.join(&workspace, &bo, "member").await?;
    system.key(&workspace.slug, &bo.email).await?;
    system.tokens(&workspace, &bo).await?;
    let browser = Browser::open().await?;
    log_in(&browser, system, &workspace.owner).await?;
    let page = |rest: &str| system.console_url(&format!("/w/{}{rest}", workspace.slug));
    let of = |person: &Person, rest: &str| page(&format!("/members/{}{rest}", person.user_id));

    browser.go(&page("/members")).await?;
    browser.fill("email", "carla@example.org, nonsense").await?;
    browser.submit("/invite").await?;
    browser.read("is no e-mail address").await?;
    browser.read("carla@example.org").await?;
    let left = browser.see("textarea[name=email]").await?.prop("value").await?;
    ensure!(left.as_deref() == Some("nonsense"), "what is to be mended is not in the field: {left:?}");
    // The browser notes that the answer is a refusal; the picture is of the page in it.
    browser.pictures("60-members-some-invited").await?;
    browser.accessible().await?;
    browser.complaints().await?;

    browser.go(&page("/groups")).await?;
    browser.inspect("61-groups-empty").await?;
    browser.fill("name", "Engineering").await?;
    browser.submit("/groups").await?;
    browser.read("nobody yet").await?;
    browser.press("input[name=user]").await?;
    browser.submit("/members").await?;
    browser.read("by hand").await?;
    browser.inspect("62-group").await?;
    browser.go(&page("/groups")).await?;
    browser.inspect("63-groups").await?;

    browser.go(&of(&bo, "")).await?;
    browser.read(&bo.email).await?;
    browser.inspect("64-member").await?;
    browser.go(&of(&bo, "/suspend")).await?;
    browser.read("what stops working").await?;
    browser.inspect("65-suspend").await?;
    browser.submit("/suspend").await?;
    browser.read("let them in again").await?;
    browser.inspect("66-member-suspended").await?;
    browser.go(&page("/members")).await?;
    browser.read("suspended").await?;
    browser.inspect("67-members").await?;
    browser.go(&of(&ana, "/owner")).await?;
    browser.inspect("68-hand-over").await?;
    browser.go(&page("/leave")).await?;
    browser.inspect("69-leave").await?;
    browser.go(&page("/connected-apps")).await?;
    browser.inspect("69-connected-apps").await?;
    browser.go(&page("/settings")).await?;
    browser.inspect("69-settings").await?;
    browser.close().await
}
