//! Attacks on who is logged in.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use toolmesh_tests::{Console, System, TestResult};

/// The attacker fetches a session, makes the victim's browser use it, and waits for the victim to log in.
#[tokio::test]
async fn a_session_planted_before_the_login_opens_nothing_after_it() -> TestResult {
    let system = System::shared().await?;
    let victim = system.person().await?;
    let attacker = Console::new(system)?;
    // A failed sign-up leaves a session behind; so does opening a page.
    let fields =
        [("name", "Eve"), ("email", "eve@example.org"), ("password", "a phrase of seven odd words 7Q")];
    attacker.submit("/signup", "/signup", &fields).await?;
    let planted = attacker.cookies();
    ensure!(!planted.is_empty(), "nothing to plant");

    let browser = Console::new(system)?;
    browser.set_cookies(planted.clone());
    browser.login(&victim).await?;
    ensure!(browser.get("/workspaces").await?.status == StatusCode::OK, "the victim is not logged in");
    let page = attacker.get("/workspaces").await?;
    ensure!(page.status == StatusCode::SEE_OTHER, "the planted session is logged in: {}", page.status);

    // Nor does the id from before a login live on beside the new one.
    let before = browser.cookies();
    let fields = [("email", victim.email.as_str()), ("password", victim.password.as_str())];
    browser.submit("/login?switch=1", "/login", &fields).await?.ok()?;
    let copied = Console::new(system)?;
    copied.set_cookies(before);
    ensure!(copied.get("/workspaces").await?.status == StatusCode::SEE_OTHER, "the old id lives on");
    Ok(())
}

/// A foreign page sends the login form with the attacker's own password, to see what the victim then types.
#[tokio::test]
async fn a_foreign_page_cannot_log_a_victim_into_the_attackers_account() -> TestResult {
    let system = System::shared().await?;
    let attacker = system.person().await?;
    let victim = Console::new(system)?;
    victim.get("/login").await?;
    let own = Console::new(system)?;
    let token = own.get("/login").await?.csrf().context("no token")?;
    let login = |token: &str| {
        [("email", attacker.email.as_str()), ("password", attacker.password.as_str()), ("_csrf", token)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let here = system.ready.console_url.clone();
    let theirs = victim.get("/login").await?.csrf().context("no token")?;
    for (what, token, headers) in [
        ("without a token", "", vec![]),
        ("with the attacker's own token", token.as_str(), vec![("origin", here.as_str())]),
        ("from another site", theirs.as_str(), vec![("origin", "https://evil.example")]),
        ("from a tenant's host", theirs.as_str(), vec![("origin", "http://acme.localhost")]),
        (
            "from a site beside ours",
            theirs.as_str(),
            vec![("origin", here.as_str()), ("sec-fetch-site", "same-site")],
        ),
    ] {
        let page = victim.post_with("/login", &login(token), &headers).await?;
        ensure!(page.status == StatusCode::FORBIDDEN, "{what}: {}", page.status);
        ensure!(victim.get("/workspaces").await?.status == StatusCode::SEE_OTHER, "{what}: logged in");
    }
    Ok(())
}

/// The attacker plants the cookie that the token is bound to, and sends a token of their own with it.
#[tokio::test]
async fn a_form_token_of_one_person_is_refused_from_another_though_the_cookie_fits() -> TestResult {
    let system = System::shared().await?;
    let (workspace, eve) = (system.workspace().await?, system.person().await?);
    let attacker = system.console(&eve).await?;
    let token = attacker.get("/workspaces").await?.csrf().context("no token")?;
    let victim = system.console(&workspace.owner).await?;
    let mut cookies = victim.cookies();
    for (name, value) in attacker.cookies() {
        if name.contains("form") {
            cookies.insert(name, value);
        }
    }
    victim.set_cookies(cookies);
    let settings = format!("/w/{}/settings", workspace.slug);
    let fields = [("name".to_owned(), "Owned".to_owned()), ("_csrf".to_owned(), token)];
    let page = victim.post(&settings, &fields).await?;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    ensure!(!victim.visit(&settings).await?.text().contains("Owned"), "the name was changed");
    Ok(())
}
