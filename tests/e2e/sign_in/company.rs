//! A company's own provider: whom it speaks for, and how it comes to be required.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::provider::{IdentityProvider, SECRET};
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, Page, Person, TestResult, Workspace};

use super::{World, away, is_logged_in, mailed_link, says, world};

/// A workspace with a provider of its own and a proven domain.
pub(crate) struct Company {
    pub(crate) workspace: Workspace,
    pub(crate) provider: IdentityProvider,
    pub(crate) domain: String,
    pub(crate) owner: Console,
}

impl Company {
    pub(crate) async fn new(world: &World) -> Result<Self> {
        let workspace = world.system.workspace().await?;
        let provider = IdentityProvider::start()?;
        let owner = world.system.console(&workspace.owner).await?;
        let domain = format!("{}.example", unique());
        let company = Self { workspace, provider, domain, owner };
        company.save(&company.provider.url).await?.ok()?;
        company.prove(world).await?;
        Ok(company)
    }

    pub(crate) fn page(&self) -> String {
        format!("/w/{}/settings/sign-in", self.workspace.slug)
    }

    async fn save(&self, issuer: &str) -> Result<Page> {
        let fields = [("issuer", issuer), ("client_id", "acme"), ("client_secret", SECRET)];
        self.owner.submit(&self.page(), &self.page(), &fields).await
    }

    pub(crate) async fn post(&self, action: &str, fields: &[(&str, &str)]) -> Result<Page> {
        self.owner.submit(&self.page(), &format!("{}/{action}", self.page()), fields).await
    }

    /// Adds the domain, makes its record and has it checked.
    async fn prove(&self, world: &World) -> TestResult {
        self.post("domains", &[("domain", &self.domain)]).await?.ok()?;
        let early = self.post("domains/check", &[("domain", &self.domain)]).await?;
        ensure!(early.status == StatusCode::UNPROCESSABLE_ENTITY, "proven without a record");
        let page = self.owner.visit(&self.page()).await?.text();
        let value = page.split_whitespace().find(|word| word.starts_with("toolmesh-verification="));
        world.names.add(&format!("_toolmesh.{}", self.domain), value.context("no value for the record")?);
        self.post("domains/check", &[("domain", &self.domain)]).await?.ok()?;
        Ok(())
    }

    pub(crate) fn employee(&self) -> (String, Value) {
        let email = format!("{}@{}", unique(), self.domain);
        (
            email.clone(),
            json!({ "sub": unique(), "email": email, "name": "Erin Employee", "groups": ["Staff"] }),
        )
    }

    /// From the login page by the address.
    pub(crate) async fn log_in(&self, console: &Console, email: &str, claims: Value) -> Result<Page> {
        let left = console.submit("/login/company", "/login/company", &[("email", email)]).await?;
        let back = self.provider.log_in(&away(&left)?, says(claims))?;
        console.get(back.as_str()).await
    }

    pub(crate) async fn test(&self, claims: Value) -> Result<String> {
        let left = self.post("test", &[]).await?;
        let back = self.provider.log_in(&away(&left)?, says(claims))?;
        Ok(self.owner.visit(back.as_str()).await?.ok()?.text())
    }

    pub(crate) async fn require(&self, exempt: &str) -> Result<Page> {
        self.post("require", &[("exempt", exempt)]).await
    }
}

#[tokio::test]
async fn a_companys_people_log_in_through_it_and_are_members() -> TestResult {
    let world = world().await?;
    let company = Company::new(world).await?;
    let (email, claims) = company.employee();
    let console = world.stranger()?;
    let page = company.log_in(&console, &email.to_uppercase(), claims).await?;
    assert_eq!(page.location().context("no way on")?.path(), "/workspaces", "{}", page.text());
    let slug = &company.workspace.slug;
    console.get(&format!("/w/{slug}")).await?.ok()?;
    let members = company.owner.visit(&format!("/w/{slug}/members")).await?.text();
    assert!(members.contains(&email), "{members}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_address_goes_on_to_the_password() -> TestResult {
    let world = world().await?;
    for email in ["nobody@unknown.example", "not an address", ""] {
        let page = world.stranger()?.submit("/login/company", "/login/company", &[("email", email)]).await?;
        assert_eq!(page.location().context("no way on")?.path(), "/login", "{email}");
    }
    Ok(())
}

#[tokio::test]
async fn a_companys_provider_speaks_for_its_own_domain_alone() -> TestResult {
    let world = world().await?;
    let company = Company::new(world).await?;
    let victim = world.system.person().await?;
    for claims in [
        json!({ "sub": unique(), "email": victim.email, "email_verified": true }),
        json!({ "sub": unique(), "email": format!("x@sub.{}", company.domain) }),
        json!({ "sub": unique(), "email": format!("x@{}", company.domain), "email_verified": false }),
        json!({ "sub": unique() }),
    ] {
        let console = world.stranger()?;
        let page = company.log_in(&console, &format!("x@{}", company.domain), claims.clone()).await?;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{claims}: {}", page.text());
        assert!(!is_logged_in(&console).await?, "{claims}");
    }
    Ok(())
}

#[tokio::test]
async fn requiring_the_provider_needs_a_test_that_passed_with_these_settings() -> TestResult {
    let world = world().await?;
    let company = Company::new(world).await?;
    let owner = company.workspace.owner.user_id.clone();
    company.owner.set_up_app().await?;
    assert!(company.require(&owner).await?.status == StatusCode::UNPROCESSABLE_ENTITY, "without a test");
    let failed = company.test(json!({ "sub": "1", "email": "somebody@elsewhere.example" })).await?;
    assert!(failed.contains("did not pass") && failed.contains("elsewhere.example"), "{failed}");
    assert!(company.require(&owner).await?.status == StatusCode::UNPROCESSABLE_ENTITY, "failed test");
    let (email, claims) = company.employee();
    let passed = company.test(claims.clone()).await?;
    for shown in ["passed", email.as_str(), "Staff"] {
        assert!(passed.contains(shown), "{shown}: {passed}");
    }
    // Another client id has to be tried again.
    let other = [("client_id", "other"), ("client_secret", SECRET)];
    company.owner.submit(&company.page(), &company.page(), &other).await?.ok()?;
    assert!(company.require(&owner).await?.status == StatusCode::UNPROCESSABLE_ENTITY, "changed settings");
    company.test(claims).await?;
    assert!(
        company.require("").await?.status == StatusCode::UNPROCESSABLE_ENTITY,
        "nobody may break the glass"
    );
    company.require(&owner).await?.ok()?;
    // What would make it fail is refused while it is required.
    let change = company.owner.submit(&company.page(), &company.page(), &other).await?;
    assert_eq!(change.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", change.text());
    Ok(())
}

#[tokio::test]
async fn where_the_provider_is_required_members_come_through_it_and_the_named_owner_without() -> TestResult {
    let world = world().await?;
    let company = Company::new(world).await?;
    let (system, slug) = (&world.system, &company.workspace.slug);
    // A member with a password and an address in the domain, and one with an address elsewhere.
    let email = format!("{}@{}", unique(), company.domain);
    let password = format!("correct horse {}", unique());
    let made =
        system.admin(&["create-user", "--email", &email, "--password", &password, "--verified"]).await?;
    let user_id = toolmesh_tests::workspace::text(&made, "user_id")?;
    let member = Person { user_id, email, password };
    let guest = system.person().await?;
    system.join(&company.workspace, &member, "member").await?;
    system.join(&company.workspace, &guest, "member").await?;
    let app = company.owner.set_up_app().await?.app;
    let (_, claims) = company.employee();
    company.test(claims).await?;
    let (early, elsewhere) = (system.console(&member).await?, system.console(&guest).await?);
    company.require(&company.workspace.owner.user_id).await?.ok()?;
    assert!(!is_logged_in(&early).await?, "a login from before goes on");
    assert!(is_logged_in(&elsewhere).await?, "somebody with an address elsewhere was logged out");

    let console = world.stranger()?;
    let page = console.try_login(&member.email, &member.password).await?;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("has its own login"), "{}", page.text());
    assert!(!is_logged_in(&console).await?, "the password was enough");
    let wrong = console.try_login(&member.email, "a wrong password entirely").await?;
    assert!(!wrong.text().contains("has its own login"), "tells strangers how members log in");
    system.console(&guest).await.context("an address elsewhere is not the company's to rule")?;
    let named = world.stranger()?;
    let owner = &company.workspace.owner;
    named.try_login(&owner.email, &owner.password).await?.ok()?;
    let code = app.code(0)?;
    named.submit("/login/second-factor", "/login/second-factor", &[("code", &code)]).await?.ok()?;
    assert!(is_logged_in(&named).await?, "the named owner");

    // The account exists: its owner confirms by mail once, then the provider is enough.
    let subject = json!({ "sub": unique(), "email": member.email });
    let page = company.log_in(&console, &member.email, subject.clone()).await?;
    let asked = page.location().context("joined without a word of the owner")?;
    console.submit(asked.as_str(), "/login/link", &[]).await?.ok()?;
    let link = mailed_link(system, &console, &member.email).await?;
    let left = console.submit(&link, "/login/link/confirm", &[]).await?;
    let back = company.provider.log_in(&away(&left)?, says(subject))?;
    console.get(back.as_str()).await?.ok()?;
    console.get(&format!("/w/{slug}")).await?.ok()?;
    Ok(())
}

#[tokio::test]
async fn a_domain_has_one_owner_and_free_mail_has_none() -> TestResult {
    let world = world().await?;
    let company = Company::new(world).await?;
    for bad in ["gmail.com", "com", "10.0.0.1", "not a domain"] {
        let page = company.post("domains", &[("domain", bad)]).await?;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
        assert!(page.body.contains(&format!("value=\"{bad}\"")), "what was typed is lost: {bad}");
    }
    let other = world.system.workspace().await?;
    let args = ["verify-domain", "--workspace", &other.slug, "--domain", &company.domain];
    let refused = world.system.run_admin(&args).await?;
    assert!(refused.code != Some(0) && refused.stderr.contains("another workspace"), "{}", refused.stderr);
    let fresh = format!("{}.example", unique());
    let args = ["verify-domain", "--workspace", &other.slug, "--domain", &fresh];
    world.system.admin(&args).await?;
    let owner = world.system.console(&other.owner).await?;
    let page = owner.visit(&format!("/w/{}/settings/sign-in", other.slug)).await?.text();
    assert!(page.contains(&fresh) && page.contains("by the operator"), "{page}");
    Ok(())
}

#[tokio::test]
async fn a_provider_that_is_not_what_it_says_is_refused_when_it_is_saved() -> TestResult {
    let world = world().await?;
    let company = Company::new(world).await?;
    let lies = [
        ("issuer", json!("https://another.example"), "another issuer"),
        ("authorization_endpoint", json!("javascript:alert(1)"), "authorization endpoint"),
        ("authorization_endpoint", json!("file:///etc/passwd"), "authorization endpoint"),
        ("token_endpoint", json!("https://user:pass@evil.example/"), "token endpoint"),
        ("jwks_uri", json!("ftp://evil.example/"), "keys"),
        ("padding", json!("x".repeat(300_000)), "larger"),
    ];
    for (name, value, word) in lies {
        let provider = IdentityProvider::start()?;
        provider.change(name, value.clone());
        let page = company.save(&provider.url).await?;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(page.text().contains(word), "{name}: {}", page.text());
        assert!(page.body.contains(&provider.url), "what was typed is lost");
        assert!(!page.body.contains(SECRET), "the secret is on the page");
    }
    Ok(())
}

#[tokio::test]
async fn members_and_strangers_see_and_change_nothing_of_it() -> TestResult {
    let world = world().await?;
    let company = Company::new(world).await?;
    let guest = world.system.person().await?;
    let member = world.system.join(&company.workspace, &guest, "member").await?;
    assert_eq!(member.get(&company.page()).await?.status, StatusCode::FORBIDDEN);
    let stranger = world.system.console(&world.system.person().await?).await?;
    assert_eq!(stranger.get(&company.page()).await?.status, StatusCode::NOT_FOUND);
    for console in [&member, &stranger] {
        let token = console.visit("/workspaces/new").await?.csrf().context("no token")?;
        for action in
            ["", "/test", "/require", "/relax", "/remove", "/domains", "/domains/check", "/domains/remove"]
        {
            let fields = [("_csrf".to_owned(), token.clone()), ("domain".to_owned(), company.domain.clone())];
            let page = console.post(&format!("{}{action}", company.page()), &fields).await?;
            assert!(
                matches!(page.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND),
                "{action}: {}",
                page.status
            );
        }
    }
    let page = company.owner.visit(&company.page()).await?.text();
    assert!(page.contains(&company.domain) && page.contains("proven"), "{page}");
    Ok(())
}
