//! Logging in elsewhere: who comes back from a provider is who the provider says, for this login alone; no account is joined
//! without its owner's word; and a company's provider speaks for its own people.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use toolmesh_tests::dns::NameServer;
use toolmesh_tests::google::secret_file;
use toolmesh_tests::provider::{IdentityProvider, Login, SECRET, Signed};
use toolmesh_tests::rows::Rows;
use toolmesh_tests::system::Options;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, Page, Person, System, TestResult, Workspace, eventually, html};
use url::Url;

/// A product whose Google and Microsoft are providers of ours, and its name server too.
pub(crate) struct World {
    pub(crate) system: System,
    google: IdentityProvider,
    pub(crate) microsoft: IdentityProvider,
    names: NameServer,
}

static WORLD: OnceCell<World> = OnceCell::const_new();

pub(crate) async fn world() -> Result<&'static World> {
    WORLD
        .get_or_try_init(|| async {
            let (google, names) = (IdentityProvider::start()?, NameServer::start()?);
            let microsoft = IdentityProvider::microsoft()?;
            let secret = secret_file(SECRET)?;
            let envs = [
                ("TOOLMESH_GOOGLE_CLIENT_ID", "toolmesh"),
                ("TOOLMESH_GOOGLE_CLIENT_SECRET_FILE", &secret),
                ("TOOLMESH_GOOGLE_ISSUER", &google.url),
                ("TOOLMESH_MICROSOFT_CLIENT_ID", "toolmesh"),
                ("TOOLMESH_MICROSOFT_CLIENT_SECRET_FILE", &secret),
                ("TOOLMESH_MICROSOFT_ISSUER", &microsoft.issuer_of("common")),
                ("TOOLMESH_DNS_SERVER", &names.address.to_string()),
            ];
            let envs = envs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            let system = System::start(Options { envs, nodes: 1, ..Options::default() }).await?;
            Ok(World { system, google, microsoft, names })
        })
        .await
}

/// Where the page that leaves the console leads.
pub(crate) fn away(page: &Page) -> Result<Url> {
    let tags = html::tags(&page.body);
    let refresh = tags.iter().find(|tag| tag.attribute("http-equiv") == Some("refresh"));
    let content = refresh.and_then(|tag| tag.attribute("content"));
    let content = content.with_context(|| format!("{} leads nowhere: {}", page.status, page.text()))?;
    Ok(Url::parse(content.split_once("url=").context("no address")?.1)?)
}

pub(crate) async fn is_logged_in(console: &Console) -> Result<bool> {
    Ok(console.get("/workspaces").await?.status == StatusCode::OK)
}

/// The path of the link that asks whether somebody is who they say; other mail may come to the address meanwhile.
pub(crate) async fn mailed_link(system: &System, console: &Console, address: &str) -> Result<String> {
    eventually("the mail with the link", SOON, || async {
        let mails = system.mails_to(address).await?;
        let link = mails.iter().find_map(|mail| mail.link("/login/link/confirm"));
        link.map(|link| console.path_of(link)).transpose()
    })
    .await
}

pub(crate) fn says(claims: Value) -> Login {
    Login { claims, signed: Signed::Right }
}

/// Somebody Google knows.
fn somebody() -> (String, Value) {
    let email = format!("{}@example.org", unique());
    let claims = json!({ "sub": unique(), "email": email, "email_verified": true, "name": "Ada Example" });
    (email, claims)
}

impl World {
    pub(crate) fn stranger(&self) -> Result<Console> {
        Console::new(&self.system)
    }

    /// Presses the button; answers where it leads.
    async fn leave(&self, console: &Console, next: &str) -> Result<Url> {
        away(&console.submit("/login", "/login/with/google", &[("next", next)]).await?)
    }

    /// All the way to Google and back; answers the page that the browser gets.
    async fn google(&self, console: &Console, login: Login) -> Result<Page> {
        let address = self.leave(console, "").await?;
        let back = self.google.log_in(&address, login)?;
        console.get(back.as_str()).await
    }
}

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
    let redeemed = world.google.redeemed();
    let mut elsewhere = back.clone();
    elsewhere.set_path("/login/callback/github");
    for (what, browser, url) in
        [("another browser", &world.stranger()?, &back), ("another provider's address", &console, &elsewhere)]
    {
        let page = browser.get(url.as_str()).await?;
        assert_eq!(page.status, StatusCode::GONE, "{what}: {}", page.text());
        assert!(!is_logged_in(browser).await?, "{what}");
    }
    assert_eq!(world.google.redeemed(), redeemed, "the code was sent to somebody");
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
