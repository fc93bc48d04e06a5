//! One person, one workspace, one client: everything a first evening holds, in order.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use toolmesh_tests::browser::{Browser, Look};
use toolmesh_tests::emulate::{self, Emulate, MINE};
use toolmesh_tests::github::{LIST_ISSUES, assigned_to_me};
use toolmesh_tests::oauth::{Pkce, Tokens, parameter, registration};
use toolmesh_tests::workspace::{text, unique};
use toolmesh_tests::{Mcp, Person, System, TestResult, Workspace, eventually};

/// Where the browser is sent with the code: a small server of the test's own, so that the last page is no error.
struct Landing {
    url: String,
    serve: tokio::task::JoinHandle<()>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.serve.abort();
    }
}

impl Landing {
    async fn new() -> Result<Self> {
        use axum::response::Html;
        use axum::routing::get;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://localhost:{}/callback", listener.local_addr()?.port());
        let page = "<!doctype html><html lang=en><title>Done</title><h1>Back at the client</h1>";
        let app = axum::Router::new()
            .route("/callback", get(move || async move { Html(page) }))
            .route("/favicon.ico", get(|| async { http::StatusCode::NO_CONTENT }));
        let serve = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { url, serve })
    }
}

/// What the journey knows by the time it has a workspace.
struct Traveller {
    system: &'static System,
    browser: Browser,
    person: Person,
    slug: String,
}

#[tokio::test]
async fn from_signing_up_to_the_first_call_in_the_log() -> TestResult {
    let system = System::shared().await?;
    let github = Emulate::github().await?;
    let person = Person {
        user_id: String::new(),
        email: format!("{}@example.org", unique()),
        password: format!("correct horse {}", unique()),
    };
    let traveller =
        Traveller { system, browser: Browser::open().await?, person, slug: format!("acme-{}", unique()) };
    traveller.signs_up().await.context("signing up")?;
    traveller.makes_a_workspace().await.context("making a workspace")?;
    traveller.enables_github(&github.url).await.context("enabling GitHub")?;
    traveller.switches_a_tool().await.context("switching a tool")?;
    traveller.copies_the_address().await.context("copying the address")?;
    let token = traveller.connects_a_client().await.context("connecting a client")?;
    traveller.sees_a_call(&token).await.context("seeing a call")?;
    traveller.browser.close().await
}

impl Traveller {
    async fn signs_up(&self) -> TestResult {
        let browser = &self.browser;
        browser.go(&self.system.console_url("/")).await?;
        browser.inspect("01-landing").await?;
        browser.click("sign up").await?;
        browser.at("/signup").await?;
        browser.fill("name", "Ada Lovelace").await?;
        browser.fill("email", &self.person.email).await?;
        browser.fill("password", &self.person.password).await?;
        browser.inspect("02-sign-up").await?;
        browser.submit("/signup").await?;
        browser.at("/signup/sent").await?;
        browser.inspect("03-check-your-mail").await?;

        browser.go(&self.system.ready.mailbox_url).await?;
        browser.read(&self.person.email).await?;
        browser.inspect("04-mailbox").await?;
        let mail = self.system.mail_to(&self.person.email).await?;
        browser.go(mail.link("/verify").context("no link in the mail")?).await?;
        browser.inspect("05-confirm-address").await?;
        browser.submit("/verify").await?;
        browser.at("/workspaces/new").await?;
        Ok(())
    }

    async fn makes_a_workspace(&self) -> TestResult {
        let browser = &self.browser;
        browser.fill("name", "Acme Engines").await?;
        browser.fill("slug", "admin").await?;
        browser.read("reserved").await?;
        browser.fill("slug", &self.slug).await?;
        browser.read("available").await?;
        browser.read(&format!("{}.localhost", self.slug)).await?;
        browser.inspect("06-new-workspace").await?;
        browser.submit("/workspaces/new").await?;
        browser.at(&format!("/w/{}", self.slug)).await?;
        browser.read(&format!("{}/mcp", self.system.tenant(&self.slug))).await?;
        browser.inspect("07-overview-empty").await
    }

    async fn enables_github(&self, url: &str) -> TestResult {
        let browser = &self.browser;
        browser.go(&self.page("/catalog")).await?;
        browser.read("github").await?;
        browser.inspect("08-catalog").await?;
        browser.go(&self.page("/catalog/github")).await?;
        browser.read("api.github.com").await?;
        browser.inspect("09-catalog-github").await?;
        browser.go(&self.page("/catalog/github/enable")).await?;
        browser.fill("base_url", url).await?;
        let field = browser.see("input[name^='credential.']").await?;
        let (name, kind) = (field.attr("name").await?.unwrap_or_default(), field.attr("type").await?);
        ensure!(kind.as_deref() == Some("password"), "the credential can be read over a shoulder: {kind:?}");
        browser.fill(&name, emulate::TOKEN).await?;
        browser.click("test connection").await?;
        browser.read("200").await?;
        browser.inspect("10-enable-tested").await?;
        browser.submit("/enable").await?;
        browser.at("/connectors/").await?;
        browser.read(&emulate::TOKEN[emulate::TOKEN.len() - 4..]).await?;
        let page = browser.client.source().await?;
        ensure!(!page.contains(emulate::TOKEN), "the credential is in the page");
        browser.inspect("11-installation").await?;
        browser.click("test").await?;
        browser.read("200").await?;
        browser.inspect("12-installation-tested").await
    }

    async fn switches_a_tool(&self) -> TestResult {
        let browser = &self.browser;
        // A tool that the rest of the journey does not need.
        let tool = "create_issue";
        const ROW: &str = "const row = [...document.querySelectorAll('tr, li, [data-tool]')]
            .find(e => e.innerText && e.innerText.includes(arguments[0]) && e.querySelector('[role=switch], input[type=checkbox], button'));
            const control = row && row.querySelector('[role=switch], input[type=checkbox], button');
            if (!control) return null;
            if (arguments[1]) control.click();
            return String(control.getAttribute('aria-checked') ?? control.checked ?? control.innerText);";
        let state = |click: bool| async move {
            let found = browser.client.execute(ROW, vec![json!(tool), json!(click)]).await?;
            anyhow::Ok(found.as_str().map(str::to_owned))
        };
        let before = state(false).await?.context("no row with a switch for the tool")?;
        state(true).await?;
        eventually("the switch has moved", Duration::from_secs(5), || async {
            Ok(state(false).await?.filter(|now| *now != before).map(|_| ()))
        })
        .await?;
        let tools = self.system.admin(&["list-tools", "--workspace", &self.slug]).await?;
        let found = tools.as_array().into_iter().flatten().find(|t| t["name"] == format!("github_{tool}"));
        let found = found.with_context(|| format!("no github_{tool}"))?;
        ensure!(found["enabled"] == false, "the switch moved and nothing else: {found}");
        browser.inspect("13-tool-switched-off").await?;
        browser.go(&self.page("/connectors")).await?;
        browser.read("github").await?;
        browser.inspect("14-connectors").await
    }

    async fn copies_the_address(&self) -> TestResult {
        let browser = &self.browser;
        browser.go(&self.page("/add")).await?;
        browser.read("developer mode").await?;
        browser.read("oauth").await?;
        let address = format!("{}/mcp", self.system.tenant(&self.slug));
        browser.read(&address).await?;
        // Headless Chromium has no clipboard to read back; what is written to it is what counts.
        const WATCH: &str = "window.copied = null; navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); };";
        browser.client.execute(WATCH, vec![]).await?;
        browser.click("copy").await?;
        eventually("the address is copied", Duration::from_secs(5), || async {
            let copied = browser.client.execute("return window.copied", vec![]).await?;
            Ok((copied == address.as_str()).then_some(()))
        })
        .await?;
        browser.inspect("15-add-to-chatgpt").await?;
        for client in ["claude", "cursor", "vscode", "codex", "other"] {
            browser.go(&self.page(&format!("/add?client={client}"))).await?;
            browser.read(&address).await?;
            browser.quiet().await?;
        }
        Ok(())
    }

    /// A client over HTTP, its person in the browser.
    async fn connects_a_client(&self) -> Result<String> {
        let browser = &self.browser;
        let landing = Landing::new().await?;
        let server = self.system.oauth(&self.workspace()).await?;
        let mut document = registration(&[&landing.url]);
        document["client_name"] = json!("ChatGPT");
        let client = text(&server.register(&document).await?.json()?, "client_id")?;
        let pkce = Pkce::new();
        let query = server.query(&client, &landing.url, &pkce);
        let url = url::Url::parse_with_params(&server.endpoint("authorization_endpoint")?, &query)?;
        browser.go(url.as_str()).await?;
        browser.read("chatgpt").await?;
        browser.read("localhost").await?;
        browser.inspect("16-consent").await?;
        browser.click("allow").await?;
        browser.read("back at the client").await?;
        let landed = browser.at("/callback").await?;
        let code = parameter(&landed, "code").with_context(|| format!("no code in {landed}"))?;
        let answer = server.token(&server.code_form(&client, &landing.url, &code, &pkce)).await?;
        Ok(Tokens::of(&client, &answer)?.access)
    }

    async fn sees_a_call(&self, token: &str) -> TestResult {
        let browser = &self.browser;
        let mcp = Mcp::new(self.system.http.clone(), &self.workspace().mcp_url).token(token);
        let tool = LIST_ISSUES;
        browser.go(&self.page("/audit")).await?;
        browser.inspect("17-audit-empty").await?;
        let answer = mcp.call(tool, assigned_to_me()).await?;
        let issues = answer.text()?;
        ensure!(MINE.iter().all(|title| issues.contains(title)), "{issues}");
        // The page renews itself once a second, and the event takes up to a second to get there.
        browser.read_within(tool, Duration::from_secs(2)).await?;
        browser.read("chatgpt").await?;
        browser.inspect("18-audit").await?;
        browser.press("#audit-list a[href*='/audit/']").await?;
        browser.read(answer.header("x-request-id")).await?;
        browser.inspect("19-audit-detail").await?;

        browser.go(&self.page("")).await?;
        browser.read(tool).await?;
        browser.inspect("20-overview").await?;
        browser.look(Look::Desktop).await
    }

    fn page(&self, rest: &str) -> String {
        self.system.console_url(&format!("/w/{}{rest}", self.slug))
    }

    fn workspace(&self) -> Workspace {
        let origin = self.system.tenant(&self.slug);
        Workspace {
            tenant_id: String::new(),
            slug: self.slug.clone(),
            mcp_url: format!("{origin}/mcp"),
            origin,
            owner: self.person.clone(),
            key: String::new(),
        }
    }
}
