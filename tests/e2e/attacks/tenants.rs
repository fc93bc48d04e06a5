//! Attacks on the walls between workspaces.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use toolmesh_tests::{System, TestResult};

use crate::client::Flow;

/// The invitation of somebody who was removed was opened again.
#[tokio::test]
async fn an_invitation_that_was_used_lets_nobody_back_in_after_a_removal() -> TestResult {
    let target = Flow::new().await?;
    let guest = target.system.person().await?;
    let console = target.system.join(&target.workspace, &guest, "member").await?;
    let mail = target.system.mail_to(&guest.email).await?;
    let link = console.path_of(mail.link("/invitation").context("no link")?)?;
    let members = target.page("/members");
    let remove = format!("{members}/{}/remove", guest.user_id);
    target.console.submit(&members, &remove, &[]).await?.ok()?;

    let page = console.visit(&link).await?;
    assert_eq!(page.status, StatusCode::GONE, "{}", page.text());
    let token = url::Url::parse(mail.link("/invitation").context("no link")?)?;
    let token = token.query_pairs().find(|(name, _)| name == "token").map(|(_, value)| value.into_owned());
    let csrf = console.visit("/workspaces").await?.csrf().context("no token")?;
    let fields = [("token".to_owned(), token.context("no token in the link")?), ("_csrf".to_owned(), csrf)];
    assert_eq!(console.post("/invitation", &fields).await?.status, StatusCode::GONE);
    assert_eq!(console.get(&target.page("")).await?.status, StatusCode::NOT_FOUND);
    Ok(())
}

/// A twin of somebody's address, or an address that the product keeps for itself.
#[tokio::test]
async fn addresses_that_look_like_others_or_ours_cannot_be_had() -> TestResult {
    let system = System::shared().await?;
    let person = system.person().await?;
    let console = system.console(&person).await?;
    let taken = system.workspace().await?.slug;
    for slug in [
        taken.as_str(),
        &taken.to_uppercase(),
        "xn--acme-cqa",
        "аcme-inc",
        "acme\u{200b}",
        "acme.evil",
        "acme--inc",
        "-acme",
        "www",
        "api",
        "admin",
        "login",
        "oauth",
        "support",
        "localhost",
        "_mailbox",
        "a/../b",
    ] {
        let page =
            console.submit("/workspaces/new", "/workspaces/new", &[("name", "Twin"), ("slug", slug)]).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{slug:?}: {}", page.status);
    }
    ensure!(!console.visit("/workspaces").await?.text().contains("Twin"), "a twin was made");
    Ok(())
}

/// A workspace gave its address up, and a stranger took it: clients that still know it would have come to them.
#[tokio::test]
async fn an_address_that_was_given_up_is_given_to_nobody_else() -> TestResult {
    let target = Flow::new().await?;
    let (slug, id) = (&target.workspace.slug, &target.workspace.tenant_id);
    let gone = target.system.sql(&format!("DELETE FROM tenants WHERE id = '{id}'")).await?;
    assert_eq!(gone, 1);
    let stranger = target.system.person().await?;
    let console = target.system.console(&stranger).await?;
    let fields = [("name", "Heir"), ("slug", slug.as_str())];
    let page = console.submit("/workspaces/new", "/workspaces/new", &fields).await?;
    ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{}", page.status);
    ensure!(page.text().contains("This address is taken"), "{}", page.text());
    let args = ["create-workspace", "--slug", slug, "--name", "Heir", "--owner", &stranger.email];
    ensure!(target.system.admin(&args).await.is_err(), "an operator gave it away");
    Ok(())
}
