//! Logging in with Google: who is known, whose account it is, and what an answer has to be.

use anyhow::Context as _;
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::provider::{Login, Signed};
use toolmesh_tests::rows::Rows;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Person, TestResult, html};

use super::{away, is_logged_in, mailed_link, says, somebody, world};

#[tokio::test]
async fn somebody_new_logs_in_with_google_and_has_an_account() -> TestResult {
    let world = world().await?;
    let (email, claims) = somebody();
    let console = world.stranger()?;
    let page = world.google(&console, says(claims.clone())).await?;
    assert_eq!(page.location().context("no way on")?.path(), "/workspaces", "{}", page.text());
    let ways = console.visit("/account/sign-in").await?.ok()?.text();
    assert!(ways.contains("Google") && ways.contains(&email), "{ways}");
    // The same subject is the same person, whatever the address has become.
    let mut moved = claims;
    moved["email"] = json!(format!("{}@example.org", unique()));
    let again = world.stranger()?;
    world.google(&again, says(moved)).await?;
    assert!(again.visit("/account/sign-in").await?.ok()?.text().contains(&email));
    Ok(())
}

#[tokio::test]
async fn an_account_that_exists_is_joined_only_by_its_owner() -> TestResult {
    let world = world().await?;
    let owner = world.system.person().await?;
    let claims = json!({ "sub": unique(), "email": owner.email, "email_verified": true, "name": "Ada" });
    let console = world.stranger()?;
    let page = console.follow(world.google(&console, says(claims.clone())).await?).await?.ok()?;
    assert!(page.text().contains("You already have an account"), "{}", page.text());
    assert!(!is_logged_in(&console).await?, "joined without a word of the owner");
    // As before, then a press.
    let tags = html::tags(&page.body);
    let link = tags.iter().filter_map(|tag| tag.attribute("href")).find(|to| to.starts_with("/login?next="));
    let link = link.context("no way to log in as before")?.to_owned();
    let form = [("email", owner.email.as_str()), ("password", owner.password.as_str())];
    let asked = console.submit(&link, "/login", &form).await?;
    let asked = asked.location().context("the password did not log in")?;
    let done = console.submit(asked.as_str(), "/account/sign-in/link", &[]).await?.ok()?;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    let again = world.stranger()?;
    world.google(&again, says(claims)).await?;
    assert!(is_logged_in(&again).await?, "linked, and still not known");
    Ok(())
}

#[tokio::test]
async fn a_ticket_links_nobody_elses_account_and_works_in_no_other_browser() -> TestResult {
    let world = world().await?;
    let (owner, other) = (world.system.person().await?, world.system.person().await?);
    let claims = json!({ "sub": unique(), "email": owner.email, "email_verified": true });
    let console = world.stranger()?;
    let page = world.google(&console, says(claims)).await?;
    let to = page.location().context("no question")?;
    let ticket = to.query_pairs().find(|(name, _)| name == "ticket").context("no ticket")?.1.into_owned();
    let path = format!("/account/sign-in/link?ticket={ticket}");
    let elsewhere = world.system.console(&owner).await?;
    assert_eq!(elsewhere.get(&path).await?.status, StatusCode::GONE);
    console.login(&other).await?;
    let refused = console.submit(&path, "/account/sign-in/link", &[]).await?;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text());
    Ok(())
}

#[tokio::test]
async fn an_address_that_the_provider_has_not_verified_is_asked_by_mail() -> TestResult {
    let world = world().await?;
    let owner = world.system.person().await?;
    let claims = json!({ "sub": unique(), "email": owner.email, "email_verified": false });
    let console = world.stranger()?;
    let page = world.google(&console, says(claims.clone())).await?;
    let asked = page.location().context("no question")?;
    let page = console.get(asked.as_str()).await?.ok()?;
    assert!(!page.text().contains("already have an account"), "tells whether there is an account");
    assert!(!is_logged_in(&console).await?);
    console.submit(asked.as_str(), "/login/link", &[]).await?.ok()?;
    let link = mailed_link(&world.system, &console, &owner.email).await?;
    let elsewhere = world.stranger()?;
    assert_eq!(elsewhere.get(&link).await?.status, StatusCode::GONE, "the link works in another browser");
    console.get(&link).await?.ok()?;
    assert!(!is_logged_in(&console).await?, "opening the link alone must not log in");
    console.submit(&link, "/login/link/confirm", &[]).await?.ok()?;
    assert!(is_logged_in(&console).await?);
    // Once: what was confirmed is linked now, and the link is spent.
    let again = console.submit(&link, "/login/link/confirm", &[]).await?;
    assert_eq!(again.status, StatusCode::GONE, "{}", again.text());
    Ok(())
}

#[tokio::test]
async fn who_signed_up_with_an_address_before_its_owner_loses_the_password() -> TestResult {
    let world = world().await?;
    let (email, claims) = somebody();
    let thief = Person { user_id: String::new(), email, password: format!("correct horse {}", unique()) };
    let early = world.stranger()?;
    let fields = [("name", "Thief"), ("email", &thief.email), ("password", &thief.password)];
    early.submit("/signup", "/signup", &fields).await?.ok()?;
    let mail = world.system.mail_to(&thief.email).await?;
    let link = early.path_of(mail.link("/verify").context("no link")?)?;
    let owner = world.stranger()?;
    world.google(&owner, says(claims)).await?;
    assert!(is_logged_in(&owner).await?);
    assert!(early.try_login(&thief.email, &thief.password).await?.status != StatusCode::SEE_OTHER);
    assert_eq!(early.get(&link).await?.status, StatusCode::GONE, "the link of the sign-up still works");
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_wrong_in_any_way_logs_nobody_in() -> TestResult {
    let world = world().await?;
    let past = 1_600_000_000;
    let lies = [
        ("another issuer", says(json!({ "iss": "https://evil.example" }))),
        ("another audience", says(json!({ "aud": "somebody-else" }))),
        ("several audiences without a party", says(json!({ "aud": ["toolmesh", "somebody-else"] }))),
        ("another party", says(json!({ "azp": "somebody-else" }))),
        ("another nonce", says(json!({ "nonce": "replayed" }))),
        ("no nonce", says(json!({ "nonce": null }))),
        ("expired", says(json!({ "iat": past, "exp": past + 300 }))),
        ("no end", says(json!({ "exp": null }))),
        ("no subject", says(json!({ "sub": null }))),
        ("not signed", Login { signed: Signed::Not, ..Login::default() }),
        ("signed with the public key", Login { signed: Signed::WithPublicKey, ..Login::default() }),
        ("signed by a stranger", Login { signed: Signed::ByStranger, ..Login::default() }),
        ("signed by an unknown key", Login { signed: Signed::ByUnknown, ..Login::default() }),
    ];
    for (what, lie) in lies {
        let (_, mut claims) = somebody();
        for (name, value) in lie.claims.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let console = world.stranger()?;
        let page = world.google(&console, Login { claims, signed: lie.signed }).await?;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{what}: {}", page.text());
        assert!(!is_logged_in(&console).await?, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn tokens_with_unknown_keys_do_not_make_us_ask_for_the_keys_each_time() -> TestResult {
    let world = world().await?;
    let before = world.google.keys_fetched();
    for _ in 0..8 {
        let (_, claims) = somebody();
        world.google(&world.stranger()?, Login { claims, signed: Signed::ByUnknown }).await?;
    }
    let asked = world.google.keys_fetched() - before;
    assert!(asked <= 3, "asked {asked} times");
    Ok(())
}

#[tokio::test]
async fn a_state_is_good_once_in_its_own_browser_at_its_own_provider() -> TestResult {
    let world = world().await?;
    let (_, claims) = somebody();
    let console = world.stranger()?;
    let address = world.leave(&console, "").await?;
    let back = world.google.log_in(&address, says(claims))?;
    let mut elsewhere = back.clone();
    elsewhere.set_path("/login/callback/github");
    for (what, browser, url) in
        [("another browser", &world.stranger()?, &back), ("another provider's address", &console, &elsewhere)]
    {
        let page = browser.get(url.as_str()).await?;
        assert_eq!(page.status, StatusCode::GONE, "{what}: {}", page.text());
        assert!(!is_logged_in(browser).await?, "{what}");
    }
    assert!(world.google.is_unredeemed(&back), "the code was sent to somebody");
    // The wrong address has used the attempt up; a new one works, once.
    let address = world.leave(&console, "").await?;
    let (_, claims) = somebody();
    let back = world.google.log_in(&address, says(claims))?;
    console.get(back.as_str()).await?.ok()?;
    assert!(is_logged_in(&console).await?);
    assert_eq!(console.get(back.as_str()).await?.status, StatusCode::GONE, "replayed");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_names_another_issuer_is_not_redeemed() -> TestResult {
    let world = world().await?;
    let (_, claims) = somebody();
    let console = world.stranger()?;
    let address = world.leave(&console, "").await?;
    let mut back = world.google.log_in(&address, says(claims))?;
    back.query_pairs_mut().append_pair("iss", "https://evil.example");
    let page = console.get(back.as_str()).await?;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", page.text());
    assert!(!is_logged_in(&console).await?);
    Ok(())
}

#[tokio::test]
async fn after_the_login_nobody_is_sent_to_another_site() -> TestResult {
    let world = world().await?;
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example"] {
        let (_, claims) = somebody();
        let console = world.stranger()?;
        let address = world.leave(&console, next).await?;
        let page = console.get(world.google.log_in(&address, says(claims))?.as_str()).await?;
        assert_eq!(page.location().context("no way on")?.path(), "/workspaces", "{next}");
    }
    let (_, claims) = somebody();
    let console = world.stranger()?;
    let address = world.leave(&console, "/workspaces/new").await?;
    let page = console.get(world.google.log_in(&address, says(claims))?.as_str()).await?;
    assert_eq!(page.location().context("no way on")?.path(), "/workspaces/new");
    Ok(())
}

#[tokio::test]
async fn the_only_way_in_cannot_be_taken_away() -> TestResult {
    let world = world().await?;
    let (email, claims) = somebody();
    let console = world.stranger()?;
    world.google(&console, says(claims)).await?;
    let page = console.visit("/account/sign-in").await?.ok()?;
    assert!(page.text().contains("only way in"), "{}", page.text());
    // A form that was kept from another time: the row is in the database alone.
    let token = page.csrf().context("no token")?;
    let sql = format!(
        "SELECT i.id::text FROM external_identities i JOIN users u ON u.id = i.user_id WHERE u.email = '{email}'"
    );
    let id = Rows::of(&world.system, &uuid::Uuid::nil().to_string()).await?.value(&sql).await?;
    let fields = [("_csrf".to_owned(), token), ("identity".to_owned(), id)];
    let refused = console.post("/account/sign-in/remove", &fields).await?;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("only way"), "{}", refused.text());
    Ok(())
}

#[tokio::test]
async fn a_linked_account_logs_in_and_is_unlinked_again() -> TestResult {
    let world = world().await?;
    let owner = world.system.person().await?;
    let console = world.system.console(&owner).await?;
    let (address, claims) = somebody();
    let left =
        console.submit("/account/sign-in", "/account/sign-in/add", &[("provider", "google")]).await?.ok()?;
    let back = world.google.log_in(&away(&left)?, says(claims.clone()))?;
    let page = console.follow(console.get(back.as_str()).await?).await?.ok()?;
    assert!(page.text().contains(&address), "{}", page.text());
    let again = world.stranger()?;
    world.google(&again, says(claims.clone())).await?;
    assert!(again.visit("/account/sign-in").await?.text().contains(&owner.email));
    page.form("/account/sign-in/remove")?;
    console.submit("/account/sign-in", "/account/sign-in/remove", &[]).await?.ok()?;
    // What is nobody's any more is a new person's.
    let stranger = world.stranger()?;
    world.google(&stranger, says(claims)).await?;
    assert!(!stranger.visit("/account/sign-in").await?.text().contains(&owner.email));
    Ok(())
}
