//! Writing as a permission of its own: a client begins with reading, is told to ask again at the first write, and the person
//! allows that on a page of its own.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::oauth::{Pkce, REDIRECT, Server, Tokens, parameter, with};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Console, Mcp, TestResult, eventually};

use crate::Echo;

const BOTH: &str = "mcp:tools mcp:write";

/// A workspace with tools of all kinds in which somebody is logged in.
struct World {
    echo: Echo,
    server: Server,
    console: Console,
    client: String,
}

impl World {
    async fn new() -> Result<Self> {
        let echo = Echo::new().await?;
        let server = echo.system.oauth(&echo.workspace).await?;
        let console = echo.system.console(&echo.workspace.owner).await?;
        let client = server.client(REDIRECT).await?;
        Ok(Self { echo, server, console, client })
    }

    /// Switches the setting, and waits until every node goes by it.
    async fn set(&self, on: bool) -> TestResult {
        let page = format!("/w/{}/settings/access", self.echo.workspace.slug);
        let value = if on { "true" } else { "false" };
        self.console.submit(&page, &page, &[("writes_need_scope", value)]).await?.ok()?;
        for node in &self.echo.system.ready.nodes {
            let host = self.echo.system.tenant_host(&self.echo.workspace.slug);
            let url = format!("http://{}/.well-known/oauth-authorization-server", node.http);
            eventually("the node goes by it", SOON, || async {
                let document: Value =
                    self.echo.system.http.get(&url).header("host", &host).send().await?.json().await?;
                let listed = document["scopes_supported"].to_string().contains("mcp:write");
                Ok((listed == on).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    async fn tokens(&self, scope: &str) -> Result<(Tokens, String)> {
        let pkce = Pkce::new();
        let query = with(self.server.query(&self.client, REDIRECT, &pkce), "scope", scope);
        let back = self.server.consent(&self.console, &query, "allow").await?;
        let code = parameter(&back, "code").with_context(|| format!("no code in {back}"))?;
        let answer = self.server.token(&self.server.code_form(&self.client, REDIRECT, &code, &pkce)).await?;
        let granted = answer.json()?["scope"].as_str().unwrap_or_default().to_owned();
        Ok((Tokens::of(&self.client, &answer)?, granted))
    }

    fn mcp(&self, token: &str) -> Mcp {
        self.echo.system.mcp(&self.echo.workspace, token)
    }
}

#[tokio::test]
async fn without_the_setting_one_scope_covers_everything() -> TestResult {
    let world = World::new().await?;
    for asked in ["", "mcp:tools", BOTH, "openid email unknown"] {
        let (tokens, granted) = world.tokens(asked).await?;
        ensure!(granted == "mcp:tools", "{asked}: {granted}");
        world.mcp(&tokens.access).call("echo_create_item", json!({"title": "x"})).await?.text()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_write_asks_for_its_scope_once_and_then_goes_through() -> TestResult {
    let world = World::new().await?;
    world.set(true).await?;
    let (narrow, granted) = world.tokens("mcp:tools").await?;
    assert_eq!(granted, "mcp:tools");
    let mcp = world.mcp(&narrow.access);
    let names = mcp.names().await?;
    assert!(
        names.iter().any(|name| name == "echo_create_item"),
        "what can be asked for is hidden: {names:?}"
    );
    mcp.call("echo_get_item", json!({"id": "1"})).await?.text()?;

    let before = world.echo.upstream.seen().len();
    for tool in ["echo_create_item", "echo_delete_item"] {
        let answer = mcp.call(tool, json!({"title": "x", "id": "1"})).await?;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
        let challenge = answer.header("www-authenticate");
        for wanted in ["error=\"insufficient_scope\"", "scope=\"mcp:tools mcp:write\"", "resource_metadata="]
        {
            ensure!(challenge.contains(wanted), "no {wanted} in {challenge}");
        }
        ensure!(answer.refusal()?.is_some(), "{}", answer.body);
    }
    assert_eq!(world.echo.upstream.seen().len(), before, "it reached the API");
    let unknown = mcp.call("echo_no_such", json!({})).await?;
    assert_eq!(unknown.status, StatusCode::OK, "a missing tool is no matter of scope");
    let bare = Mcp::new(world.echo.system.http.clone(), &world.echo.workspace.mcp_url);
    let challenge = bare.request("ping", json!({})).await?;
    assert!(challenge.header("www-authenticate").ends_with("scope=\"mcp:tools\""));

    let (wide, granted) = world.tokens(BOTH).await?;
    assert_eq!(granted, BOTH);
    world.mcp(&wide.access).call("echo_create_item", json!({"title": "x"})).await?.text()?;
    // A key was made for all tools, and no client stands behind it that could ask.
    world.echo.mcp.call("echo_create_item", json!({"title": "x"})).await?.text()?;
    let log = format!("/w/{}/audit?outcome=denied", world.echo.workspace.slug);
    eventually("the refusal is in the log", SOON, || async {
        let page = world.console.visit(&log).await?.ok()?;
        Ok(page.text().contains("echo_create_item").then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_refresh_may_narrow_and_never_widens() -> TestResult {
    let world = World::new().await?;
    world.set(true).await?;
    let (wide, _) = world.tokens(BOTH).await?;
    let refresh = |token: String, scope: &'static str| {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("client_id", &world.client),
            ("refresh_token", &token),
            ("scope", scope),
        ];
        let form = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let server = &world.server;
        async move {
            let answer = server.token(&form).await?;
            let scope = answer.json()?["scope"].as_str().unwrap_or_default().to_owned();
            anyhow::Ok((Tokens::of("", &answer)?, scope))
        }
    };
    let (less, scope) = refresh(wide.refresh, "mcp:tools").await?;
    assert_eq!(scope, "mcp:tools");
    let answer = world.mcp(&less.access).call("echo_create_item", json!({"title": "x"})).await?;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let (whole, scope) = refresh(less.refresh, "").await?;
    assert_eq!(scope, BOTH, "the grant itself became narrower");
    world.mcp(&whole.access).call("echo_create_item", json!({"title": "x"})).await?.text()?;

    let (narrow, _) = world.tokens("mcp:tools").await?;
    let (still, scope) = refresh(narrow.refresh, BOTH).await?;
    assert_eq!(scope, "mcp:tools");
    let answer = world.mcp(&still.access).call("echo_create_item", json!({"title": "x"})).await?;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);

    world.set(false).await?;
    world.mcp(&still.access).call("echo_create_item", json!({"title": "x"})).await?.text()?;
    Ok(())
}

#[tokio::test]
async fn only_who_may_change_settings_changes_this_one() -> TestResult {
    let world = World::new().await?;
    let guest = world.echo.system.person().await?;
    let member = world.echo.system.join(&world.echo.workspace, &guest, "member").await?;
    let page = format!("/w/{}/settings/access", world.echo.workspace.slug);
    assert_eq!(member.get(&page).await?.status, StatusCode::FORBIDDEN);
    let home = format!("/w/{}/keys", world.echo.workspace.slug);
    let sent = member.submit(&home, &page, &[("writes_need_scope", "true")]).await?;
    assert_eq!(sent.status, StatusCode::FORBIDDEN);
    let text = world.console.visit(&page).await?.ok()?.text();
    assert!(text.contains("Turn on"), "{text}");
    Ok(())
}
