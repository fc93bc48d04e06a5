//! A person's own account: proving again who one is, sessions, what happened, a new password and a new address.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use toolmesh_tests::{Console, System, TestResult};

/// Makes it long ago that this person last proved who they are.
async fn prove_long_ago(system: &System, user_id: &str) -> TestResult {
    let sql = format!(
        "UPDATE sessions SET data = jsonb_set(data, '{{proof,at}}', to_jsonb(extract(epoch FROM now())::bigint - 700)) \
         WHERE user_id = '{user_id}'"
    );
    ensure!(system.sql(&sql).await? > 0, "no session to make older");
    Ok(())
}

fn path(page: &toolmesh_tests::Page) -> String {
    page.location().map(|to| to.path().to_owned()).unwrap_or_default()
}

async fn is_logged_in(console: &Console) -> anyhow::Result<bool> {
    Ok(console.get("/workspaces").await?.status == StatusCode::OK)
}

#[tokio::test]
async fn after_ten_minutes_a_key_is_made_only_by_who_proves_again_who_they_are() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let console = system.console(&workspace.owner).await?;
    let keys = format!("/w/{}/keys", workspace.slug);
    console.submit(&keys, &keys, &[("name", "made at once")]).await?.ok()?;

    prove_long_ago(system, &workspace.owner.user_id).await?;
    let page = console.visit(&keys).await?.ok()?;
    ensure!(page.form(&keys).is_err(), "a form that would be refused is shown");
    ensure!(page.body.contains("/account/confirm?next="), "no way to prove who one is: {}", page.text());
    let refused = console.submit(&keys, &keys, &[("name", "made later")]).await?;
    assert_eq!((refused.status, path(&refused).as_str()), (StatusCode::SEE_OTHER, "/account/confirm"));
    ensure!(!console.visit(&keys).await?.text().contains("made later"), "the key was made");

    let confirm = refused.location().context("no location")?.to_string();
    let wrong = console.submit(&confirm, "/account/confirm", &[("password", "not my password")]).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let before = console.cookies();
    let right =
        console.submit(&confirm, "/account/confirm", &[("password", &workspace.owner.password)]).await?;
    assert_eq!((right.status, path(&right)), (StatusCode::SEE_OTHER, keys.clone()));
    let made = console.submit(&keys, &keys, &[("name", "made later")]).await?.ok()?;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());

    let copied = Console::new(system)?;
    copied.set_cookies(before);
    ensure!(!is_logged_in(&copied).await?, "the session's old id still opens it");
    Ok(())
}

#[tokio::test]
async fn who_proves_again_who_they_are_is_sent_to_no_foreign_site() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    for next in ["https://evil.example/", "//evil.example/", "/\\evil.example"] {
        let fields = [("password", person.password.as_str()), ("next", next)];
        prove_long_ago(system, &person.user_id).await?;
        let page = console.submit("/account/confirm", "/account/confirm", &fields).await?;
        assert_eq!(path(&page), "/workspaces", "{next:?}");
    }
    Ok(())
}

#[tokio::test]
async fn proving_again_who_one_is_does_not_make_a_session_live_longer() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    let older = format!(
        "UPDATE sessions SET created_at = now() - interval '6 days 23 hours 59 minutes', data = jsonb_set(data, '{{facts,since}}', \
         to_jsonb(extract(epoch FROM now() - interval '6 days 23 hours 59 minutes')::bigint)) WHERE user_id = '{}'",
        person.user_id
    );
    ensure!(system.sql(&older).await? == 1);
    prove_long_ago(system, &person.user_id).await?;
    let fields = [("password", person.password.as_str())];
    console.submit("/account/confirm", "/account/confirm", &fields).await?.ok()?;
    ensure!(is_logged_in(&console).await?);
    let young = format!(
        "UPDATE sessions SET data = data WHERE user_id = '{}' AND created_at > now() - interval '6 days'",
        person.user_id
    );
    ensure!(system.sql(&young).await? == 0, "the new id started the seven days again");
    Ok(())
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_without_use_and_after_seven_days_with_it() -> TestResult {
    let system = System::shared().await?;
    for change in
        ["expires_at = now() - interval '1 second'", "created_at = now() - interval '7 days 1 minute'"]
    {
        let person = system.person().await?;
        let console = system.console(&person).await?;
        ensure!(is_logged_in(&console).await?);
        let idle = format!(
            "UPDATE sessions SET data = data WHERE user_id = '{}' AND expires_at BETWEEN now() + interval '11 hours 50 minutes' \
             AND now() + interval '12 hours'",
            person.user_id
        );
        ensure!(system.sql(&idle).await? == 1, "the session does not end twelve hours after its last use");
        system.sql(&format!("UPDATE sessions SET {change} WHERE user_id = '{}'", person.user_id)).await?;
        ensure!(!is_logged_in(&console).await?, "{change}: the session lives on");
    }
    Ok(())
}
