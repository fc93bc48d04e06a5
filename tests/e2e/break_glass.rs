//! Owners who log in without their company's provider: by password and second factor, and never by a password alone.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use toolmesh_tests::totp::AuthenticatorApp;
use toolmesh_tests::workspace::{text, unique};
use toolmesh_tests::{Console, Page, Person, System, TestResult};

use crate::sign_in::{Company, World, is_logged_in, world};

/// A second owner of a company, with a password and an address in its own domain.
struct Inside {
    company: Company,
    person: Person,
    console: Console,
}

impl Inside {
    async fn new(world: &World) -> Result<Self> {
        let company = Company::new(world).await?;
        let system = &world.system;
        let email = format!("{}@{}", unique(), company.domain);
        let password = format!("correct horse {}", unique());
        let args = ["create-user", "--email", &email, "--password", &password, "--verified"];
        let person = Person { user_id: text(&system.admin(&args).await?, "user_id")?, email, password };
        let console = system.join(&company.workspace, &person, "admin").await?;
        let role = format!("/w/{}/members/{}/role", company.workspace.slug, person.user_id);
        company.owner.submit(&company.page(), &role, &[("role", "owner")]).await?.ok()?;
        company.owner.set_up_app().await?;
        let (_, claims) = company.employee();
        company.test(claims).await?;
        Ok(Self { company, person, console })
    }

    async fn require(&self) -> Result<Page> {
        self.company.require(&self.person.user_id).await
    }

    /// A fresh browser after the password.
    async fn password(&self, world: &World) -> Result<(Console, Page)> {
        let console = world.stranger()?;
        let page = console.try_login(&self.person.email, &self.person.password).await?;
        Ok((console, page))
    }
}

/// Adds an app with the code of the step before this one, so that later ones are unused.
async fn add_app(console: &Console) -> Result<AuthenticatorApp> {
    Ok(console.set_up_app().await?.app)
}

async fn give_code(console: &Console, app: &AuthenticatorApp, step: i64) -> Result<Page> {
    let page = "/login/second-factor";
    console.submit(page, page, &[("code", &app.code(step)?)]).await
}

async fn factors_are_reset(system: &System, email: &str) -> TestResult {
    system.admin(&["reset-second-factor", "--email", email]).await?;
    Ok(())
}

#[tokio::test]
async fn an_owner_without_a_second_factor_cannot_be_named_and_the_page_says_so() -> TestResult {
    let world = world().await?;
    let inside = Inside::new(world).await?;
    let page = inside.company.owner.visit(&inside.company.page()).await?.ok()?.text();
    ensure!(page.contains("has no second factor") && page.contains("a second factor"), "{page}");
    let refused = inside.require().await?;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text());
    ensure!(refused.text().contains("a second factor"), "{}", refused.text());
    // With nobody left who has one, the page says what to do instead of offering a form.
    factors_are_reset(&world.system, &inside.company.workspace.owner.email).await?;
    let page = inside.company.owner.visit(&inside.company.page()).await?.ok()?;
    ensure!(page.text().contains("cannot be required yet"), "{}", page.text());
    ensure!(
        page.form(&format!("{}/require", inside.company.page())).is_err(),
        "a form that would be refused"
    );
    Ok(())
}

#[tokio::test]
async fn the_named_owner_logs_in_by_password_and_second_factor_and_not_by_the_password_alone() -> TestResult {
    let world = world().await?;
    let inside = Inside::new(world).await?;
    let app = add_app(&inside.console).await?;
    inside.require().await?.ok()?;
    // What began with a password alone has ended.
    ensure!(!is_logged_in(&inside.console).await?, "a session without a second factor goes on");
    let (console, page) = inside.password(world).await?;
    let to = page.location().context("no question for the second factor")?;
    assert_eq!(to.path(), "/login/second-factor");
    ensure!(!is_logged_in(&console).await?, "the password was enough");
    give_code(&console, &app, 0).await?.ok()?;
    ensure!(is_logged_in(&console).await?);
    console.get(&format!("/w/{}", inside.company.workspace.slug)).await?.ok()?;
    Ok(())
}

#[tokio::test]
async fn who_breaks_the_glass_keeps_a_second_factor() -> TestResult {
    let world = world().await?;
    let inside = Inside::new(world).await?;
    let app = add_app(&inside.console).await?;
    inside.require().await?.ok()?;
    let (console, _) = inside.password(world).await?;
    give_code(&console, &app, 0).await?.ok()?;
    let (factors, remove) = ("/account/security", "/account/security/app/remove");
    let refused = console.submit(factors, remove, &[]).await?;
    let text = console.follow(refused).await?.text();
    ensure!(text.contains("without its provider"), "{text}");
    // Taken away by an operator, the password alone does not come back.
    factors_are_reset(&world.system, &inside.person.email).await?;
    let (console, page) = inside.password(world).await?;
    ensure!(page.text().contains("has its own login"), "{}: {}", page.status, page.text());
    ensure!(!is_logged_in(&console).await?);
    // When the provider is no longer required, nothing holds the factor any more.
    let slug = &inside.company.workspace.slug;
    world.system.admin(&["stop-requiring-provider", "--workspace", slug]).await?;
    let (console, _) = inside.password(world).await?;
    ensure!(is_logged_in(&console).await?, "the operator's word does not count");
    add_app(&console).await?;
    console.submit(factors, remove, &[]).await?.ok()?;
    let (console, _) = inside.password(world).await?;
    ensure!(is_logged_in(&console).await?, "the app is asked for still");
    Ok(())
}
