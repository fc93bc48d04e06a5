//! Logging in with Microsoft: one provider for all directories, whose tokens say which directory speaks.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, Page, TestResult};

use crate::sign_in::{World, away, is_logged_in, says, world};

fn directory() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Somebody of a directory, whose domain Microsoft has seen proven.
fn somebody(world: &World, directory: &str) -> (String, Value) {
    let email = format!("{}@example.org", unique());
    let claims = json!({
        "iss": world.microsoft.issuer_of(directory), "tid": directory, "sub": unique(), "email": email,
        "xms_edov": true, "name": "Ada Example",
    });
    (email, claims)
}

/// All the way to Microsoft and back.
async fn log_in(world: &World, console: &Console, claims: Value) -> Result<Page> {
    let left = console.submit("/login", "/login/with/microsoft", &[("next", "")]).await?;
    let back = world.microsoft.log_in(&away(&left)?, says(claims))?;
    console.get(back.as_str()).await
}

#[tokio::test]
async fn people_of_any_directory_log_in_and_each_is_who_their_own_directory_says() -> TestResult {
    let world = world().await?;
    let (first, second) = (directory(), directory());
    let (email, claims) = somebody(world, &first);
    let console = world.stranger()?;
    let page = log_in(world, &console, claims.clone()).await?;
    assert_eq!(page.location().context("no way on")?.path(), "/workspaces", "{}", page.text());
    let ways = console.visit("/account/sign-in").await?.ok()?.text();
    ensure!(ways.contains("Microsoft") && ways.contains(&email), "{ways}");
    let again = world.stranger()?;
    log_in(world, &again, claims.clone()).await?;
    ensure!(again.visit("/account/sign-in").await?.text().contains(&email), "the same person is another");

    // The same subject in another directory is somebody else.
    let mut other = claims;
    other["iss"] = json!(world.microsoft.issuer_of(&second));
    other["tid"] = json!(second);
    other["email"] = json!(format!("{}@example.org", unique()));
    let stranger = world.stranger()?;
    log_in(world, &stranger, other).await?;
    ensure!(!stranger.visit("/account/sign-in").await?.ok()?.text().contains(&email), "taken for another");
    Ok(())
}

#[tokio::test]
async fn a_token_whose_issuer_is_not_its_own_directory_logs_nobody_in() -> TestResult {
    let world = world().await?;
    let (own, other) = (directory(), directory());
    for (what, iss, tid) in [
        ("another directory's issuer", world.microsoft.issuer_of(&other), json!(own)),
        ("the template itself", world.microsoft.issuer_of("{tenantid}"), json!("{tenantid}")),
        ("the name for all", world.microsoft.issuer_of("common"), json!("common")),
        ("no directory", world.microsoft.issuer_of(&own), Value::Null),
        ("a directory with a path in it", world.microsoft.issuer_of("a/b"), json!("a/b")),
        ("another provider's", "https://login.microsoftonline.com/x/v2.0".to_owned(), json!(own)),
    ] {
        let (_, mut claims) = somebody(world, &own);
        claims["iss"] = json!(iss);
        claims["tid"] = tid;
        let console = world.stranger()?;
        let page = log_in(world, &console, claims).await?;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{what}: {}", page.text());
        ensure!(!is_logged_in(&console).await?, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn an_address_that_any_directory_could_have_written_is_asked_by_mail() -> TestResult {
    let world = world().await?;
    let victim = world.system.person().await?;
    for edov in [Value::Null, json!(false), json!(0)] {
        let (_, mut claims) = somebody(world, &directory());
        claims["email"] = json!(victim.email);
        claims["email_verified"] = json!(true);
        claims["xms_edov"] = edov.clone();
        let console = world.stranger()?;
        let page = log_in(world, &console, claims).await?;
        let to = page.location().context("no question")?;
        assert_eq!(to.path(), "/login/link", "{edov}");
        ensure!(!is_logged_in(&console).await?, "{edov}");
    }
    Ok(())
}
