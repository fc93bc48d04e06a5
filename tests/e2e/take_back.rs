//! Taking an account back after its address was changed: what came to it since goes with the change, and nobody who had it
//! meanwhile comes back.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, Person, System, TestResult, eventually};

/// Changes an account's address as whoever has it does. Answers the address that it has then.
async fn move_to_new_address(system: &System, console: &Console) -> Result<String> {
    let email = format!("{}@example.org", unique());
    console.submit("/account/email", "/account/email", &[("email", &email)]).await?.ok()?;
    let mail = system.mail_to(&email).await?;
    let link = console.path_of(mail.link("/account/email/confirm").context("no link")?)?;
    console.submit(&link, "/account/email/confirm", &[]).await?.ok()?;
    Ok(email)
}

/// The link that an old address got.
async fn way_back(system: &System, email: &str) -> Result<String> {
    let link = eventually("the way back", SOON, || async {
        let mails = system.mails_to(email).await?;
        Ok(mails.iter().find_map(|mail| mail.link("/account/email/undo").map(str::to_owned)))
    })
    .await?;
    Console::new(system)?.path_of(&link)
}

#[tokio::test]
async fn what_came_to_an_account_since_its_address_was_changed_is_listed_and_goes_with_the_change()
-> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let person = workspace.owner.clone();
    let thief = system.console(&person).await?;
    move_to_new_address(system, &thief).await?;
    thief.set_up_app().await?;
    let keys = format!("/w/{}/keys", workspace.slug);
    thief.submit(&keys, &keys, &[("name", "thief's key")]).await?.ok()?;
    let link_identity = format!(
        "INSERT INTO external_identities (id, user_id, provider, issuer, subject, label) \
         VALUES (gen_random_uuid(), '{}', 'google', 'https://accounts.google.com', '{}', 'thief@example.org')",
        person.user_id,
        unique()
    );
    ensure!(system.sql(&link_identity).await? == 1);

    let anybody = Console::new(system)?;
    let undo = way_back(system, &person.email).await?;
    let page = anybody.get(&undo).await?.ok()?.text();
    for word in ["authenticator app", "thief's key", "Google", "thief@example.org"] {
        ensure!(page.contains(word), "the page does not say that {word} goes: {page}");
    }
    ensure!(!page.contains("“test”"), "a key from before is listed: {page}");
    anybody.submit(&undo, "/account/email/undo", &[]).await?.ok()?;

    // The owner needs neither the thief's app nor their password.
    let password = format!("lantern copper {}", unique());
    let reset = eventually("a mail with a link to a new password", SOON, || async {
        let mails = system.mails_to(&person.email).await?;
        Ok(mails.iter().find_map(|mail| mail.link("/reset/new").map(str::to_owned)))
    })
    .await?;
    let reset = anybody.path_of(&reset)?;
    anybody.submit(&reset, "/reset/new", &[("password", &password)]).await?.ok()?;
    let owner = system.console(&Person { password, ..person.clone() }).await?;
    let ways = owner.visit("/account/sign-in").await?.ok()?.text();
    ensure!(!ways.contains("thief@example.org"), "{ways}");
    let history = owner.visit("/account/sessions").await?.ok()?.text();
    ensure!(history.contains("Second factor removed") && history.contains("thief's key"), "{history}");
    let left = owner.visit(&keys).await?.ok()?.text();
    ensure!(left.contains("test"), "a key from before is gone: {left}");
    let answer = system.mcp(&workspace, &workspace.key).request("ping", json!({})).await?;
    assert_eq!(answer.status, StatusCode::OK, "a key from before no longer works");
    Ok(())
}

#[tokio::test]
async fn taking_an_account_back_disconnects_its_apps_and_ends_a_key_that_was_made_since() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let person = workspace.owner.clone();
    let tokens = system.tokens(&workspace, &person).await?;
    let thief = system.console(&person).await?;
    let email = move_to_new_address(system, &thief).await?;
    let key = system.key(&workspace.slug, &email).await?;
    let status = async |token: &str| -> Result<StatusCode> {
        Ok(system.mcp(&workspace, token).request("ping", json!({})).await?.status)
    };
    for node in &system.ready.nodes {
        eventually("the new key works", SOON, || async {
            let answer = system.mcp_on(&node.http, &workspace, &key).request("ping", json!({})).await?;
            Ok(answer.status.is_success().then_some(()))
        })
        .await?;
    }
    let undo = way_back(system, &person.email).await?;
    Console::new(system)?.submit(&undo, "/account/email/undo", &[]).await?.ok()?;
    for token in [&tokens.access, &key] {
        eventually("it is refused", SOON, || async {
            Ok((status(token).await? == StatusCode::UNAUTHORIZED).then_some(()))
        })
        .await?;
    }
    let server = system.oauth(&workspace).await?;
    let refreshed = server.refresh(&tokens.client_id, &tokens.refresh).await?;
    assert_eq!(refreshed.json()?["error"], "invalid_grant");
    Ok(())
}

#[tokio::test]
async fn who_changed_the_address_twice_does_not_take_the_account_back_from_its_owner() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let thief = system.console(&person).await?;
    let first = move_to_new_address(system, &thief).await?;
    move_to_new_address(system, &thief).await?;
    let (owners, thiefs) = (way_back(system, &person.email).await?, way_back(system, &first).await?);
    let anybody = Console::new(system)?;
    anybody.get(&thiefs).await?.ok()?;
    anybody.submit(&owners, "/account/email/undo", &[]).await?.ok()?;
    let refused = anybody.get(&thiefs).await?;
    assert_eq!(refused.status, StatusCode::GONE, "{}", refused.text());
    Ok(())
}
