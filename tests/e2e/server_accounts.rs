//! Accounts at other MCP servers: their authorization servers are found, this ToolMesh becomes a client there, and each call
//! shows the token of the account that it is to use.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::json;
use toolmesh_tests::guarded::Guarded;
use toolmesh_tests::servers::ServerAuth;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Console, Mcp, Page, System, TestResult, Workspace, eventually, html};
use url::Url;

/// A workspace with a server that asks for a login.
struct Scene {
    system: &'static System,
    server: Guarded,
    workspace: Workspace,
    owner: Console,
    mcp: Mcp,
    id: String,
    kind: &'static str,
}

impl Scene {
    /// With the workspace's account, which is not connected yet.
    async fn new(server: Guarded) -> Result<Self> {
        Self::with(server, ServerAuth::Login, "connectors").await
    }

    /// With each member's own.
    async fn personal(server: Guarded) -> Result<Self> {
        Self::with(server, ServerAuth::OwnLogin, "connections").await
    }

    async fn with(server: Guarded, auth: ServerAuth<'_>, kind: &'static str) -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let owner = system.console(&workspace.owner).await?;
        let form = format!("/w/{}/servers/new", workspace.slug);
        let fields = [
            ("name", "guarded"),
            ("url", &*server.url()),
            ("authentication", auth.way()),
            ("credential", ""),
        ];
        let added = owner.submit(&form, &form, &fields).await?.ok()?;
        let to = added.location().with_context(|| format!("it was not added: {}", added.text()))?;
        let id = to.path().strip_prefix(&format!("/w/{}/{kind}/", workspace.slug));
        let id = id.with_context(|| format!("led to {to}"))?.to_owned();
        let mcp = system.mcp(&workspace, &workspace.key);
        Ok(Self { system, server, workspace, owner, mcp, id, kind })
    }

    fn page(&self, rest: &str) -> String {
        format!("/w/{}/{}/{}{rest}", self.workspace.slug, self.kind, self.id)
    }

    async fn leave(&self, console: &Console) -> Result<Url> {
        away(&console.submit(&self.page(""), &self.page("/connect"), &[]).await?.ok()?)
    }

    /// Connects as somebody who is called this at the provider.
    async fn connect(&self, console: &Console, who: &str) -> Result<Page> {
        let back = self.server.allow(&self.leave(console).await?, who)?;
        console.visit(&console.path_of(back.as_str())?).await?.ok()
    }

    /// What the page says when connecting does not begin.
    async fn trouble(&self) -> Result<String> {
        let page = self.owner.submit(&self.page(""), &self.page("/connect"), &[]).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{}: {}", page.status, page.text());
        Ok(page.text())
    }

    /// Connects, and switches its tool on.
    async fn begin(&self, who: &str) -> TestResult {
        let page = self.connect(&self.owner, who).await?;
        ensure!(page.text().contains("Says who is calling."), "it was not looked at: {}", page.text());
        self.owner.begin_mcp_server(&self.workspace.slug, &self.id).await?;
        self.system.offered_everywhere(&self.workspace, "guarded_whoami").await
    }

    /// Has the server looked at again, and answers what is said of that.
    async fn look_again(&self) -> Result<String> {
        let page = format!("/w/{}/servers/{}", self.workspace.slug, self.id);
        let page = self.owner.submit(&page, &format!("{page}/refresh"), &[]).await?.ok()?;
        Ok(self.owner.follow(page).await?.ok()?.text())
    }

    async fn says(&self, mcp: &Mcp, words: &str) -> TestResult {
        eventually(words, SOON, || async {
            let answer = mcp.call("guarded_whoami", json!({})).await?;
            ensure!(answer.status == StatusCode::OK, "{}: a client would log in again", answer.status);
            let said = match answer.refusal()? {
                Some(refusal) => refusal,
                None => answer.text()?,
            };
            Ok(said.contains(words).then_some(()))
        })
        .await
    }
}

/// Where the page that leaves the console leads.
fn away(page: &Page) -> Result<Url> {
    let tags = html::tags(&page.body);
    let refresh = tags.iter().find(|tag| tag.attribute("http-equiv") == Some("refresh"));
    let content = refresh.and_then(|tag| tag.attribute("content"));
    let content = content.with_context(|| format!("{} leads nowhere: {}", page.status, page.text()))?;
    Ok(Url::parse(content.split_once("url=").context("no address")?.1)?)
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn a_server_that_asks_for_a_login_is_found_registered_with_connected_and_called() -> TestResult {
    let scene = Scene::new(Guarded::start()?).await?;
    let address = scene.leave(&scene.owner).await?;
    assert_eq!(parameter(&address, "resource").as_deref(), Some(&*scene.server.url()));
    assert_eq!(parameter(&address, "scope").as_deref(), Some("use"), "what the challenge asks for");
    assert_eq!(parameter(&address, "code_challenge_method").as_deref(), Some("S256"));
    let registrations = scene.server.registrations();
    let back = scene.system.console_url("/connections/callback");
    assert_eq!(registrations[0]["redirect_uris"], json!([back]));
    assert_eq!(registrations[0]["application_type"], "web");
    scene.begin("ada").await?;
    assert_eq!(scene.server.registrations().len(), 1, "one client for one workspace");
    scene.says(&scene.mcp, "You are ada.").await?;

    // The token ends: it is refreshed once, and nobody notices.
    scene.server.end_access();
    scene.says(&scene.mcp, "You are ada.").await?;
    let page = scene.owner.visit(&scene.page("")).await?.ok()?;
    let text = page.text();
    ensure!(text.contains("ada@provider.example") && text.contains(&scene.server.issuer()), "{text}");
    ensure!(!page.body.contains("refresh-token-") && !page.body.contains("the-secret-of"), "{text}");

    // All of it ends: people are told what to do, and clients are not sent to log in with us.
    scene.server.end_all();
    scene.says(&scene.mcp, "connected again").await?;
    let page = scene.owner.visit(&scene.page("")).await?.ok()?;
    ensure!(page.text().contains("Reconnect it"), "{}", page.text());
    scene.connect(&scene.owner, "ada").await?;
    scene.says(&scene.mcp, "You are ada.").await?;
    let page = scene.owner.submit(&scene.page(""), &scene.page("/disconnect"), &[]).await?.ok()?;
    let page = scene.owner.follow(page).await?;
    ensure!(page.text().contains("taken back at the provider"), "{}", page.text());
    ensure!(scene.server.revoked().iter().any(|token| token.starts_with("refresh-token-")));
    scene.says(&scene.mcp, "has to be connected").await
}

#[tokio::test]
async fn each_members_call_shows_the_server_their_own_account() -> TestResult {
    let scene = Scene::personal(Guarded::start()?).await?;
    scene.begin("olga").await?;
    scene.says(&scene.mcp, "You are olga.").await?;
    let person = scene.system.person().await?;
    let console = scene.system.join(&scene.workspace, &person, "member").await?;
    let key = scene.system.key(&scene.workspace.slug, &person.email).await?;
    let mcp = scene.system.mcp(&scene.workspace, &key);
    eventually("the member is let in", SOON, || async {
        Ok(mcp.request("ping", json!({})).await?.status.is_success().then_some(()))
    })
    .await?;
    scene.says(&mcp, &scene.system.console_url(&scene.page(""))).await?;
    let page = scene.connect(&console, "mia").await?;
    ensure!(page.text().contains("mia@provider.example"), "{}", page.text());
    scene.says(&mcp, "You are mia.").await?;
    scene.says(&scene.mcp, "You are olga.").await?;
    console.submit(&scene.page(""), &scene.page("/disconnect"), &[]).await?.ok()?;
    scene.says(&mcp, "you have not connected an account").await?;
    scene.says(&scene.mcp, "You are olga.").await
}

#[tokio::test]
async fn at_another_server_nothing_of_the_first_ones_login_is_used() -> TestResult {
    let scene = Scene::new(Guarded::start()?).await?;
    scene.begin("ada").await?;
    let back = scene.server.allow(&scene.leave(&scene.owner).await?, "ada")?;
    let other = Guarded::start()?;
    // It has no documents of its own, so that nothing says where one logs in.
    other.behave(|manners| {
        manners.resource_says = json!({ "authorization_servers": [format!("{}/none", other.origin)] })
    });
    let settings = [("base_url", &*other.url())];
    scene.owner.submit(&scene.page(""), &scene.page("/settings"), &settings).await?.ok()?;
    let page = scene.owner.get(&scene.owner.path_of(back.as_str())?).await?;
    ensure!(
        !page.text().contains("It is connected"),
        "a login for the first was taken for the other: {}",
        page.text()
    );
    let text = scene.trouble().await?;
    ensure!(text.contains("has no document about its endpoints"), "{text}");
    let page = scene.owner.visit(&scene.page("")).await?.ok()?;
    ensure!(page.text().contains("Not connected"), "{}", page.text());
    assert!(other.calls().is_empty() && other.registrations().is_empty());
    Ok(())
}

#[tokio::test]
async fn documents_that_speak_for_somebody_else_are_not_believed() -> TestResult {
    let scene = Scene::new(Guarded::start()?).await?;
    scene.server.behave(|manners| manners.says = json!({ "issuer": "https://evil.example" }));
    ensure!(scene.trouble().await?.contains("says that its issuer is https://evil.example"));
    scene.server.behave(|manners| manners.says = json!({ "code_challenge_methods_supported": null }));
    ensure!(scene.trouble().await?.contains("does not offer PKCE"));
    // The address of nobody is refused even where private ones are called.
    for endpoint in ["http://0.0.0.0/token", "file:///etc/passwd", "http://user:word@127.0.0.1/token", ""] {
        scene.server.behave(|manners| manners.says = json!({ "token_endpoint": endpoint }));
        let text = scene.trouble().await?;
        ensure!(text.contains("names no usable token endpoint"), "{endpoint:?}: {text}");
    }
    scene.server.behave(|manners| {
        manners.says = json!({ "authorization_endpoint": "javascript:alert(1)" });
    });
    let text = scene.trouble().await?;
    ensure!(text.contains("names no usable authorization endpoint"), "{text}");
    scene.server.behave(|manners| {
        manners.says = json!({});
        manners.resource_says = json!({ "resource": "https://other.example/mcp" });
    });
    ensure!(scene.trouble().await?.contains("which is not this server"));
    assert!(scene.server.registrations().is_empty(), "something was registered with a liar");
    Ok(())
}

#[tokio::test]
async fn an_answer_of_another_authorization_server_connects_nothing() -> TestResult {
    let scene = Scene::new(Guarded::start()?).await?;
    for iss in ["https://evil.example", ""] {
        scene.server.behave(|manners| manners.answers_as = Some(iss.to_owned()));
        let back = scene.server.allow(&scene.leave(&scene.owner).await?, "ada")?;
        let page = scene.owner.get(&scene.owner.path_of(back.as_str())?).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{iss:?}: {}", page.status);
        ensure!(page.text().contains("another authorization server"), "{iss:?}: {}", page.text());
    }
    let page = scene.owner.visit(&scene.page("")).await?.ok()?;
    ensure!(page.text().contains("Not connected"), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn where_nobody_can_register_an_admin_enters_the_client() -> TestResult {
    let scene = Scene::new(Guarded::start()?).await?;
    scene.server.behave(|manners| manners.registers = false);
    let text = scene.trouble().await?;
    ensure!(text.contains("registers no clients") && text.contains("/connections/callback"), "{text}");
    let page = scene.owner.visit(&scene.page("")).await?.ok()?;
    ensure!(page.text().contains("registers no clients by itself"), "{}", page.text());
    let wrong = scene.owner.submit(&scene.page(""), &scene.page("/client"), &[("client_id", " ")]).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    scene.server.client("made-by-hand", "the-secret-of-the-client-made-by-hand");
    let fields = [("client_id", "made-by-hand"), ("client_secret", "the-secret-of-the-client-made-by-hand")];
    let page = scene.owner.submit(&scene.page(""), &scene.page("/client"), &fields).await?.ok()?;
    let page = scene.owner.follow(page).await?;
    ensure!(!page.body.contains("the-secret-of"), "the secret is on the page");
    scene.begin("ada").await?;
    scene.says(&scene.mcp, "You are ada.").await
}

#[tokio::test]
async fn a_call_that_needs_more_says_where_to_allow_it_and_is_allowed_then() -> TestResult {
    let scene = Scene::personal(Guarded::start()?).await?;
    scene.begin("ada").await?;
    scene.says(&scene.mcp, "You are ada.").await?;
    scene.server.behave(|manners| manners.needs = Some("everything"));
    scene.says(&scene.mcp, "insufficient_scope").await?;
    scene.says(&scene.mcp, &scene.system.console_url(&scene.page(""))).await?;
    let page = scene.owner.visit(&scene.page("")).await?.ok()?;
    ensure!(page.text().contains("to allow more"), "{}", page.text());
    let address = scene.leave(&scene.owner).await?;
    assert_eq!(parameter(&address, "scope").as_deref(), Some("use everything"));
    scene.connect(&scene.owner, "ada").await?;
    scene.says(&scene.mcp, "You are ada.").await
}

#[tokio::test]
async fn a_look_at_a_server_uses_its_account_as_a_call_does() -> TestResult {
    let scene = Scene::new(Guarded::start()?).await?;
    scene.begin("ada").await?;
    // A token that is refused before its end is replaced.
    scene.server.end_access();
    let said = scene.look_again().await?;
    ensure!(said.contains("The server offers what it did before"), "{said}");
    // What more is needed is asked for with the next connection.
    scene.server.behave(|manners| manners.needs = Some("everything"));
    let said = scene.look_again().await?;
    ensure!(said.contains("insufficient_scope") && said.contains("Connect it again"), "{said}");
    let address = scene.leave(&scene.owner).await?;
    assert_eq!(parameter(&address, "scope").as_deref(), Some("use everything"));
    scene.connect(&scene.owner, "ada").await?;
    let said = scene.look_again().await?;
    ensure!(said.contains("The server offers what it did before"), "{said}");
    // Nothing replaces it any more.
    scene.server.end_all();
    let said = scene.look_again().await?;
    ensure!(said.contains("has to be connected again"), "{said}");
    Ok(())
}
