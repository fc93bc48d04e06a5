//! Logging in elsewhere, in Chromium: with Google, with GitHub, and with a company's Okta, as `emulate` plays them.

use anyhow::{Context as _, Result};
use serde_json::json;
use toolmesh_tests::browser::Browser;
use toolmesh_tests::emulate::{Emulate, Service};
use toolmesh_tests::google::{Google, secret_file};
use toolmesh_tests::system::Options;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{System, TestResult, net};

/// A product with a Google and a GitHub, and somebody who is known at both.
struct World {
    system: System,
    google: Google,
    github: Emulate,
    email: String,
}

impl World {
    async fn new() -> Result<Self> {
        let (port, email) = (net::free_port()?, format!("{}@example.org", unique()));
        let redirect = |key: &str| format!("http://localhost:{port}/login/callback/{key}");
        let google = Google::start(&json!({ "google": {
            "users": [{ "email": email, "name": "Grace Hopper" }],
            "oauth_clients": [{
                "client_id": "toolmesh", "client_secret": "google-secret", "name": "ToolMesh",
                "redirect_uris": [redirect("google")],
            }],
        }}))
        .await?;
        let seed = json!({ "github": {
            "users": [{ "login": "grace", "name": "Grace Hopper", "email": email }],
            "oauth_apps": [{
                "client_id": "toolmesh", "client_secret": "github-secret", "name": "ToolMesh",
                "redirect_uris": [redirect("github")],
            }],
        }});
        let github = Emulate::start_with(Service::GitHub, Some(&seed), None).await?;
        let envs = [
            ("TOOLMESH_GOOGLE_CLIENT_ID", "toolmesh".to_owned()),
            ("TOOLMESH_GOOGLE_CLIENT_SECRET_FILE", secret_file("google-secret")?),
            ("TOOLMESH_GOOGLE_ISSUER", google.url.clone()),
            ("TOOLMESH_GITHUB_CLIENT_ID", "toolmesh".to_owned()),
            ("TOOLMESH_GITHUB_CLIENT_SECRET_FILE", secret_file("github-secret")?),
            ("TOOLMESH_GITHUB_URL", github.url.clone()),
            ("TOOLMESH_GITHUB_API_URL", github.url.clone()),
        ];
        let envs = envs.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let system = System::start(Options { envs, port, nodes: 1, ..Options::default() }).await?;
        Ok(Self { system, google, github, email })
    }
}

#[tokio::test]
async fn somebody_logs_in_with_google_and_links_github() -> TestResult {
    let world = World::new().await?;
    let (system, browser) = (&world.system, Browser::open().await?);
    browser.go(&system.console_url("/login")).await?;
    browser.read("continue with github").await?;
    browser.inspect("60-log-in-elsewhere").await?;
    browser.go(&system.console_url("/signup")).await?;
    browser.inspect("61-sign-up-elsewhere").await?;
    browser.click("continue with google").await?;
    browser.at(&world.google.url).await?;
    browser.click_text(&world.email).await?;
    browser.at("/workspaces").await?;
    browser.go(&system.console_url("/account/sign-in")).await?;
    browser.read(&world.email).await?;
    browser.read("only way in").await?;
    browser.inspect("62-ways-to-log-in").await?;
    browser.click("link github").await?;
    browser.at(&world.github.url).await?;
    browser.click_text("grace").await?;
    browser.at("/account/sign-in").await?;
    browser.read("you can now log in with github").await?;
    browser.inspect("63-github-linked").await?;

    let other = Browser::open().await?;
    other.go(&system.console_url("/login")).await?;
    other.click("continue with github").await?;
    other.at(&world.github.url).await?;
    other.click_text("grace").await?;
    other.at("/workspaces").await?;
    other.go(&system.console_url("/account/sign-in")).await?;
    other.read(&world.email).await?;
    other.close().await?;
    browser.close().await
}

#[tokio::test]
async fn an_account_with_a_password_is_joined_by_its_owner_alone() -> TestResult {
    let world = World::new().await?;
    let (system, browser) = (&world.system, Browser::open().await?);
    let password = format!("correct horse {}", unique());
    let args = ["create-user", "--email", &world.email, "--password", &password, "--verified"];
    system.admin(&args).await?;
    browser.go(&system.console_url("/login")).await?;
    browser.click("continue with github").await?;
    browser.at(&world.github.url).await?;
    browser.click_text("grace").await?;
    browser.read("you already have an account").await?;
    browser.inspect("64-already-an-account").await?;
    browser.click("log in as before").await?;
    browser.fill("email", &world.email).await?;
    browser.fill("password", &password).await?;
    browser.submit("/login").await?;
    browser.read("link your accounts").await?;
    browser.inspect("65-link-accounts").await?;
    browser.submit("/account/sign-in/link").await?;
    browser.read("you can now log in with github").await?;
    browser.close().await
}

#[tokio::test]
async fn a_company_sets_its_okta_up_tries_it_and_requires_it() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let domain = format!("{}.example", unique());
    let email = format!("erin@{domain}");
    let page = system.console_url(&format!("/w/{}/settings/sign-in", workspace.slug));
    let browser = Browser::open().await?;
    browser.go(&system.console_url("/login")).await?;
    browser.fill("email", &workspace.owner.email).await?;
    browser.fill("password", &workspace.owner.password).await?;
    browser.submit("/login").await?;
    browser.at("/workspaces").await?;
    browser.go(&page).await?;
    browser.inspect("66-sign-in-settings-empty").await?;

    let redirect = browser.see("#redirect-uri").await?.text().await?;
    let okta = Emulate::start_with(
        Service::Okta,
        Some(&json!({ "okta": {
            "users": [{ "okta_id": "00uerin", "login": email, "email": email, "first_name": "Erin", "last_name": "Employee" }],
            "groups": [{ "okta_id": "00gstaff", "name": "Staff" }],
            "group_memberships": [{ "group_okta_id": "00gstaff", "user_okta_id": "00uerin" }],
            "oauth_clients": [{
                "client_id": "acme", "client_secret": "okta-secret-of-acme", "name": "ToolMesh",
                "redirect_uris": [redirect], "auth_server_id": "org",
            }],
        }})),
        None,
    )
    .await?;
    browser.fill("domain", &domain).await?;
    browser.submit("/settings/sign-in/domains").await?;
    browser.read(&format!("_toolmesh.{domain}")).await?;
    browser.fill("issuer", &okta.url).await?;
    browser.fill("client_id", "acme").await?;
    browser.fill("client_secret", "okta-secret-of-acme").await?;
    browser.submit("/settings/sign-in").await?;
    browser.read("the provider is saved").await?;
    browser.inspect("67-sign-in-settings-saved").await?;
    system.admin(&["verify-domain", "--workspace", &workspace.slug, "--domain", &domain]).await?;

    browser.click("test the login").await?;
    browser.at(&okta.url).await?;
    browser.click_text(&email).await?;
    browser.at("/settings/sign-in").await?;
    browser.read("passed").await?;
    browser.read("staff").await?;
    browser.click("all claims").await?;
    browser.inspect("68-test-login-passed").await?;
    // Nobody could break the glass yet.
    browser.read("cannot be required yet").await?;
    let app = system.console(&workspace.owner).await?.set_up_app().await;
    app.context("the owner's second factor")?;
    browser.go(&page).await?;
    browser.inspect("68-provider-can-be-required").await?;
    browser.submit("/settings/sign-in/require").await?;
    browser.read("required since").await?;
    browser.inspect("69-provider-required").await?;

    let employee = Browser::open().await?;
    employee.go(&system.console_url("/login/company")).await?;
    employee.inspect("70-log-in-with-your-company").await?;
    employee.fill("email", &email).await?;
    employee.submit("/login/company").await?;
    employee.at(&okta.url).await?;
    employee.click_text(&email).await?;
    employee.at("/workspaces").await?;
    employee.go(&system.console_url(&format!("/w/{}", workspace.slug))).await?;
    employee.read("test workspace").await?;
    employee.close().await?;
    browser.close().await
}
