//! Groups that a company's provider names at a login: their members by the next page, out again when it no longer says so, and
//! never by what an admin did by hand.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toolmesh_tests::{Console, TestResult};

use crate::sign_in::{Company, World, is_logged_in, world};

/// Makes a group that the provider knows by this name; answers its page.
async fn group(company: &Company, name: &str, external: &str) -> Result<String> {
    let groups = format!("/w/{}/groups", company.workspace.slug);
    let made = company.owner.submit(&groups, &groups, &[("name", name)]).await?;
    let page = made.location().context("no group was made")?.path().to_owned();
    company.owner.submit(&page, &page, &[("name", name), ("external_name", external)]).await?.ok()?;
    Ok(page)
}

/// How somebody is in a group, as an admin sees it; nothing for who is not.
async fn how(company: &Company, group: &str, email: &str) -> Result<Option<&'static str>> {
    let page = company.owner.visit(group).await?.ok()?;
    let rows = page.body.split("<tr>").find(|row| row.contains("data-label=\"How\"") && row.contains(email));
    Ok(rows.map(|row| if row.contains("by their login") { "by their login" } else { "by hand" }))
}

async fn log_in(world: &World, company: &Company, email: &str, claims: &Value) -> Result<Console> {
    let console = world.stranger()?;
    company.log_in(&console, email, claims.clone()).await?;
    ensure!(is_logged_in(&console).await?, "the company's provider is not enough");
    Ok(console)
}

#[tokio::test]
async fn a_group_claim_puts_somebody_in_and_a_login_without_it_takes_them_out() -> TestResult {
    let world = world().await?;
    let company = Company::new(world).await?;
    let staff = group(&company, "Everybody here", "Staff").await?;
    let crew = group(&company, "Night shift", "CN=Crew, O=Acme").await?;
    let (email, mut claims) = company.employee();
    log_in(world, &company, &email, &claims).await?;
    assert_eq!(how(&company, &staff, &email).await?, Some("by their login"));
    assert_eq!(how(&company, &crew, &email).await?, None, "a group that was not named");

    claims["groups"] = json!(["CN=Crew, O=Acme", "unknown here", 7]);
    log_in(world, &company, &email, &claims).await?;
    assert_eq!(how(&company, &staff, &email).await?, None, "the old group stays");
    assert_eq!(how(&company, &crew, &email).await?, Some("by their login"));

    claims["groups"] = Value::Null;
    log_in(world, &company, &email, &claims).await?;
    assert_eq!(how(&company, &crew, &email).await?, None, "a login without the claim changes nothing");
    Ok(())
}

#[tokio::test]
async fn who_was_put_into_a_group_by_hand_stays_whatever_the_provider_says() -> TestResult {
    let world = world().await?;
    let company = Company::new(world).await?;
    let staff = group(&company, "Everybody here", "Staff").await?;
    let (email, mut claims) = company.employee();
    claims["groups"] = json!([]);
    log_in(world, &company, &email, &claims).await?;
    let page = company.owner.visit(&staff).await?.ok()?;
    let others = toolmesh_tests::html::tags(&page.body);
    let user = others.iter().filter(|tag| tag.attribute("name") == Some("user"));
    let users: Vec<_> = user.filter_map(|tag| tag.attribute("value").map(str::to_owned)).collect();
    for user in &users {
        company.owner.submit(&staff, &format!("{staff}/members"), &[("user", user)]).await?.ok()?;
    }
    assert_eq!(how(&company, &staff, &email).await?, Some("by hand"));
    claims["groups"] = json!(["Staff"]);
    log_in(world, &company, &email, &claims).await?;
    claims["groups"] = Value::Null;
    log_in(world, &company, &email, &claims).await?;
    assert_eq!(how(&company, &staff, &email).await?, Some("by hand"));
    Ok(())
}
