//! What an admin sets for the endpoint on its page, and that every node goes by it: rate limits, web pages, what ChatGPT finds.

use anyhow::{Context as _, Result, ensure};
use http::{Method, StatusCode};
use serde_json::json;
use toolmesh_tests::console::Page;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Console, Mcp, TestResult, eventually};

use crate::Echo;

struct World {
    echo: Echo,
    console: Console,
    page: String,
}

impl World {
    async fn new() -> Result<Self> {
        let echo = Echo::new().await?;
        let console = echo.system.console(&echo.workspace.owner).await?;
        let page = format!("/w/{}/settings/endpoint", echo.workspace.slug);
        Ok(Self { echo, console, page })
    }

    async fn save(&self, form: &str, fields: &[(&str, &str)]) -> Result<Page> {
        self.console.submit(&self.page, &format!("{}/{form}", self.page), fields).await
    }

    fn nodes(&self) -> impl Iterator<Item = (&str, Mcp)> {
        let (system, workspace) = (self.echo.system, &self.echo.workspace);
        system
            .ready
            .nodes
            .iter()
            .map(|node| (node.http.as_str(), system.mcp_on(&node.http, workspace, &workspace.key)))
    }

    async fn get(&self, node: &str, path: &str) -> Result<reqwest::Response> {
        let host = self.echo.system.tenant_host(&self.echo.workspace.slug);
        Ok(self.echo.system.http.get(format!("http://{node}{path}")).header("host", host).send().await?)
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_which_limit_and_for_how_long() -> TestResult {
    let world = World::new().await?;
    world.save("limits", &[("caller_per_minute", "3")]).await?.ok()?;
    for (node, mcp) in world.nodes() {
        let refused = eventually("the limit is in force", SOON, || async {
            let answer = mcp.request("ping", json!({})).await?;
            Ok((answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(answer))
        })
        .await?;
        let wait: u64 = refused.header("retry-after").parse().context("no seconds to wait")?;
        ensure!((1..=20).contains(&wait), "{node}: {wait}");
        let body = refused.json()?;
        assert_eq!(
            (&body["jsonrpc"], &body["error"]["data"]["limit"]),
            (&json!("2.0"), &json!("caller")),
            "{body}"
        );
        ensure!(!body["id"].is_null(), "{body}");
        ensure!(
            body["error"]["message"].as_str().is_some_and(|text| text.contains("3 requests a minute")),
            "{body}"
        );
        let modern = json!({"jsonrpc": "2.0", "id": "m", "method": "server/discover", "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}}}});
        let stateless =
            mcp.clone().header("mcp-protocol-version", "2026-07-28").header("mcp-method", "server/discover");
        // A place may have come free since the last was refused; it is taken with the next.
        let modern = eventually("the stateless client is refused, too", SOON, || async {
            let answer = stateless.post(modern.to_string()).await?;
            Ok((answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(answer))
        })
        .await?;
        assert_eq!(modern.json()?["id"], json!("m"));
        // Others of the workspace are not held up, nor is who only looks where to log in.
        let document = world.get(node, "/.well-known/oauth-protected-resource").await?;
        assert_eq!(document.status(), StatusCode::OK);
    }
    Ok(())
}

/// What the audit log says of requests that were refused: how many and under which limit, for each entry.
async fn told(world: &World, words: &str) -> Result<Vec<u64>> {
    let log = format!("/w/{}/audit", world.echo.workspace.slug);
    let text = world.console.visit(&format!("{log}?outcome=denied")).await?.ok()?.text();
    let entries = text.split("Refused ").skip(1).filter(|entry| entry.contains(words));
    let number = |entry: &str| entry.split(' ').next().and_then(|word| word.parse().ok());
    Ok(entries.filter_map(number).collect())
}

#[tokio::test]
async fn an_admin_sees_in_the_log_how_many_requests_a_limit_refused_and_not_each_of_them() -> TestResult {
    let world = World::new().await?;
    world.save("limits", &[("tenant_per_minute", "5")]).await?.ok()?;
    let mut refused = 0;
    for (_, mcp) in world.nodes() {
        eventually("the limit is in force", SOON, || async {
            let answer = mcp.request("ping", json!({})).await?;
            Ok((answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(()))
        })
        .await?;
        refused += 1;
        for _ in 0..100 {
            let answer = mcp.request("ping", json!({})).await?;
            refused += u64::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
        }
    }
    let nodes = world.nodes().count();
    let entries = eventually("each node has told", SOON * 3, || async {
        let entries = told(&world, "limit of 5 a minute for this workspace").await?;
        Ok((entries.len() >= nodes).then_some(entries))
    })
    .await?;
    ensure!(entries.len() <= 2 * nodes && entries.iter().sum::<u64>() <= refused, "{entries:?} of {refused}");
    ensure!(entries.iter().any(|count| *count > 10), "{entries:?}");
    let log = format!("/w/{}/audit", world.echo.workspace.slug);
    let page = world.console.visit(&log).await?.ok()?;
    let entry = page.links(&format!("{log}/")).into_iter().next().context("the log is empty")?;
    let shown = world.console.visit(&entry).await?.ok()?.text();
    ensure!(shown.contains("Everybody") && shown.contains("Told by the node"), "{shown}");
    // They are no calls, and counted as none.
    let overview = world.console.visit(&format!("/w/{}", world.echo.workspace.slug)).await?.ok()?.text();
    ensure!(overview.contains("See the first call"), "{overview}");
    Ok(())
}

#[tokio::test]
async fn a_workspace_that_has_used_up_its_limit_does_not_hold_up_another() -> TestResult {
    let (world, other) = (World::new().await?, Echo::new().await?);
    world.save("limits", &[("tenant_per_minute", "2")]).await?.ok()?;
    for (node, mcp) in world.nodes() {
        eventually("the limit is in force", SOON, || async {
            let answer = mcp.request("ping", json!({})).await?;
            Ok((answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(()))
        })
        .await?;
        let (system, workspace) = (other.system, &other.workspace);
        let beside = system.mcp_on(node, workspace, &workspace.key);
        for _ in 0..5 {
            assert_eq!(beside.request("ping", json!({})).await?.status, StatusCode::OK);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_web_page_may_call_once_its_origin_is_listed() -> TestResult {
    let world = World::new().await?;
    let origin = "https://chat.example.com";
    for (_, mcp) in world.nodes() {
        assert_eq!(
            mcp.header("origin", origin).request("ping", json!({})).await?.status,
            StatusCode::FORBIDDEN
        );
    }
    let page = world
        .save("origins", &[("browser_origins", "https://Chat.example.com/\nhttp://localhost:6274")])
        .await?
        .ok()?;
    let page = world.console.follow(page).await?;
    ensure!(page.text().contains("is saved"), "{}", page.text());
    for (node, mcp) in world.nodes() {
        let mcp = mcp.header("origin", origin);
        let answer = eventually("the page may call", SOON, || async {
            let answer = mcp.request("ping", json!({})).await?;
            Ok((answer.status == StatusCode::OK).then_some(answer))
        })
        .await?;
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        ensure!(answer.header("access-control-expose-headers").contains("mcp-session-id"));
        // Pages end their session with it, and take 405 for an answer where they may ask.
        ensure!(answer.header("access-control-allow-methods").contains("DELETE"));
        let host = world.echo.system.tenant_host(&world.echo.workspace.slug);
        let preflight = world.echo.system.http.request(Method::OPTIONS, format!("http://{node}/mcp"));
        let preflight = preflight
            .header("host", host)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,mcp-method,mcp-param-region,x-evil")
            .send()
            .await?;
        let allowed = preflight.headers()["access-control-allow-headers"].to_str()?;
        for wanted in ["authorization", "mcp-method", "mcp-name", "mcp-param-region", "mcp-session-id"] {
            ensure!(allowed.contains(wanted), "no {wanted} in {allowed}");
        }
        ensure!(!allowed.contains("x-evil"), "{allowed}");
        let elsewhere = mcp.header("origin", "https://chat.example.com.evil.example");
        assert_eq!(elsewhere.request("ping", json!({})).await?.status, StatusCode::FORBIDDEN);
    }
    Ok(())
}

#[tokio::test]
async fn openai_finds_exactly_the_token_while_there_is_one() -> TestResult {
    let world = World::new().await?;
    let path = "/.well-known/openai-apps-challenge";
    for (node, _) in world.nodes() {
        assert_eq!(world.get(node, path).await?.status(), StatusCode::NOT_FOUND);
    }
    for (typed, served) in [(" tok_0123-abc ", Some("tok_0123-abc")), ("", None)] {
        world.save("chatgpt", &[("openai_apps_challenge", typed)]).await?.ok()?;
        for (node, _) in world.nodes() {
            eventually("the node goes by it", SOON, || async {
                let answer = world.get(node, path).await?;
                let there = answer.status() == StatusCode::OK;
                let kind = answer.headers().get("content-type").cloned();
                let text = answer.text().await?;
                let plain = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
                Ok((there == served.is_some() && served.is_none_or(|token| plain && text == token))
                    .then_some(()))
            })
            .await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_tool_that_only_reads_goes_by_the_name_that_chatgpt_looks_for() -> TestResult {
    let world = World::new().await?;
    let refused = world.save("chatgpt", &[("search", "echo_create_item")]).await?;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    ensure!(refused.text().contains("Choose a tool that only reads"), "{}", refused.text());
    world.save("chatgpt", &[("search", "echo_get_item"), ("fetch", "echo_get_item")]).await?.ok()?;
    let page = world.console.visit(&world.page).await?.ok()?;
    ensure!(page.body.contains(r#"<option value="echo_get_item" selected>"#), "the choice is not shown");
    for (_, mcp) in world.nodes() {
        eventually("search is offered", SOON, || async {
            Ok(mcp.names().await?.iter().any(|name| name == "search").then_some(()))
        })
        .await?;
        mcp.call("search", json!({"id": "1"})).await?.text()?;
        mcp.call("echo_get_item", json!({"id": "1"})).await?.text()?;
    }
    world.save("chatgpt", &[("search", ""), ("fetch", "")]).await?.ok()?;
    for (_, mcp) in world.nodes() {
        eventually("search is gone", SOON, || async {
            Ok((!mcp.names().await?.iter().any(|name| name == "search")).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_saved_is_kept_in_its_field_with_what_is_wrong() -> TestResult {
    let world = World::new().await?;
    for (form, field, typed, said) in [
        ("origins", "browser_origins", "http://chat.example.com", "not protected on its way"),
        ("origins", "browser_origins", "https://chat.example.com/x", "more than an origin"),
        ("limits", "api_key_per_minute", "-5", "whole number"),
        ("chatgpt", "openai_apps_challenge", "two words", "without spaces"),
    ] {
        let page = world.save(form, &[(field, typed)]).await?;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
        ensure!(page.body.contains(typed) && page.text().contains(said), "{field}: {}", page.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_browser_is_shown_what_the_address_is_for_and_no_more() -> TestResult {
    let world = World::new().await?;
    for (node, _) in world.nodes() {
        let host = world.echo.system.tenant_host(&world.echo.workspace.slug);
        for path in ["/", "/mcp"] {
            let url = format!("http://{node}{path}");
            let request = world.echo.system.http.get(url).header("host", &host);
            let answer = request.header("accept", "text/html,application/xhtml+xml").send().await?;
            assert_eq!(answer.status(), StatusCode::OK);
            let page = answer.text().await?;
            for wanted in [
                world.echo.workspace.mcp_url.as_str(),
                "ChatGPT",
                "Claude Code",
                "cursor://",
                "vscode:mcp/install?",
            ] {
                ensure!(page.contains(wanted), "no {wanted} on {path}");
            }
            for secret in [
                world.echo.workspace.owner.email.as_str(),
                world.echo.workspace.key.as_str(),
                "echo_get_item",
            ] {
                ensure!(!page.contains(secret), "{secret} on {path}");
            }
        }
    }
    Ok(())
}
