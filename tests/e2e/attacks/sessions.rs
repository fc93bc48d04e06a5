//! Attacks on how a caller is told from another: transports, headers, names, frames.

use anyhow::{Context as _, ensure};
use http::{Method, StatusCode};
use serde_json::json;
use toolmesh_tests::mcp::REVISION;
use toolmesh_tests::oauth::REDIRECT;
use toolmesh_tests::{Answer, Console, Mcp, TestResult};

use crate::client::Flow;

/// One transport was guarded and another was not.
#[tokio::test]
async fn every_transport_and_revision_wants_the_token() -> TestResult {
    let target = Flow::new().await?;
    let open = Mcp::new(target.system.http.clone(), &target.workspace.mcp_url);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for revision in ["", "2024-11-05", "2025-03-26", "2025-06-18", REVISION, "2026-07-28", "1999-01-01"] {
        let mcp = open.clone().header("mcp-protocol-version", revision);
        for (what, body) in [
            ("a request", list.to_string()),
            ("a batch", json!([list, list]).to_string()),
            (
                "a handshake",
                json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}).to_string(),
            ),
            ("a note", json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()),
            ("nothing", String::new()),
        ] {
            for accept in ["application/json", "text/event-stream", "application/json, text/event-stream"] {
                let answer = mcp.clone().header("accept", accept).post(body.clone()).await?;
                ensure!(
                    answer.status == StatusCode::UNAUTHORIZED,
                    "{what}, {revision:?}, {accept}: {} {}",
                    answer.status,
                    answer.body
                );
            }
        }
        for method in [Method::GET, Method::DELETE, Method::PUT] {
            let answer = mcp.clone().header("accept", "text/event-stream").method(method.clone()).await?;
            ensure!(answer.status.is_client_error(), "{method} {revision:?}: {}", answer.status);
        }
    }
    // Where others keep the older transport.
    for path in
        ["/sse", "/message", "/messages", "/mcp/sse", "/mcp/", "/v0.1/tools", "/MCP", "/mcp%2f", "//mcp"]
    {
        let url = format!("{}{path}", target.workspace.origin);
        let answer = Answer::of(target.system.http.post(url).body(list.to_string()).send().await?).await?;
        ensure!(answer.status.is_client_error(), "{path}: {} {}", answer.status, answer.body);
        ensure!(!answer.body.contains("\"tools\""), "{path} lists tools");
    }
    Ok(())
}

/// Without a session id the only open session was used.
#[tokio::test]
async fn who_names_no_session_or_another_ones_is_nobody() -> TestResult {
    let target = Flow::new().await?;
    let owner = target.system.mcp(&target.workspace, &target.workspace.key);
    let answer = owner.initialize(REVISION).await?;
    let given = answer.header("mcp-session-id").to_owned();
    let open = Mcp::new(target.system.http.clone(), &target.workspace.mcp_url);
    for session in ["", given.as_str(), "1", "null", "../../etc/passwd", &target.workspace.owner.user_id] {
        let answer = open.clone().header("mcp-session-id", session).request("tools/list", json!({})).await?;
        ensure!(answer.status == StatusCode::UNAUTHORIZED, "{session:?}: {}", answer.status);
    }
    Ok(())
}

/// A header that a gateway inside trusts was sent from outside.
#[tokio::test]
async fn headers_of_an_inner_network_give_nobody_any_right() -> TestResult {
    let target = Flow::new().await?;
    let owner = &target.workspace.owner;
    let headers = [
        ("x-forwarded-user", owner.email.as_str()),
        ("x-forwarded-email", owner.email.as_str()),
        ("x-remote-user", owner.email.as_str()),
        ("x-auth-request-user", owner.email.as_str()),
        ("x-user-id", owner.user_id.as_str()),
        ("x-tenant-id", target.workspace.tenant_id.as_str()),
        ("x-original-url", "/healthz"),
        ("x-rewrite-url", "/healthz"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-internal", "true"),
        ("x-http-method-override", "GET"),
    ];
    let mut mcp = Mcp::new(target.system.http.clone(), &target.workspace.mcp_url);
    for (name, value) in headers {
        mcp = mcp.header(name, value);
    }
    let answer = mcp.request("tools/list", json!({})).await?;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    let mut request = target.system.http.get(target.system.console_url(&target.page("/settings")));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = Answer::of(request.send().await?).await?;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.header("location").starts_with("/login"), "{}", answer.header("location"));
    Ok(())
}

/// A web page gives its own name our address, and so speaks to us as if we were it.
#[tokio::test]
async fn a_page_that_gives_its_name_our_address_reads_nothing() -> TestResult {
    let target = Flow::new().await?;
    let edge = url::Url::parse(&target.system.ready.console_url)?;
    let port = edge.port().context("no port")?;
    for host in
        [format!("evil.example:{port}"), "evil.example".to_owned(), format!("localhost.evil.example:{port}")]
    {
        let mcp = Mcp::new(target.system.http.clone(), &format!("http://127.0.0.1:{port}/mcp"))
            .token(&target.workspace.key)
            .host(&host);
        let answer = mcp.request("tools/list", json!({})).await?;
        ensure!(answer.status.is_client_error(), "{host}: {} {}", answer.status, answer.body);
        let page = target.system.http.get(format!("http://127.0.0.1:{port}/login")).header("host", &host);
        let answer = Answer::of(page.send().await?).await?;
        ensure!(!answer.status.is_success(), "{host} gets the console: {}", answer.status);
        for node in &target.system.ready.nodes {
            let mcp = target.system.mcp_on(&node.http, &target.workspace, &target.workspace.key).host(&host);
            let answer = mcp.request("tools/list", json!({})).await?;
            ensure!(answer.status.is_client_error(), "{host} on {}: {}", node.name, answer.status);
        }
    }
    for origin in ["https://evil.example", "null", "http://localhost.evil.example", "file://"] {
        let mcp = target.system.mcp(&target.workspace, &target.workspace.key).header("origin", origin);
        let answer = mcp.request("tools/list", json!({})).await?;
        ensure!(answer.status == StatusCode::FORBIDDEN, "{origin}: {}", answer.status);
        ensure!(answer.header("access-control-allow-origin").is_empty(), "{origin} may read the answer");
        let page = target.system.http.get(target.system.console_url("/login")).header("origin", origin);
        let answer = Answer::of(page.send().await?).await?;
        ensure!(answer.header("access-control-allow-origin").is_empty(), "{origin} may read the console");
    }
    Ok(())
}

/// The consent page under a picture of kittens, so that a click on a kitten allows the client.
#[tokio::test]
async fn login_and_consent_are_shown_in_no_frame() -> TestResult {
    let target = Flow::new().await?;
    let query = target.server.query(&target.client, REDIRECT, &target.pkce);
    let consent = target.server.authorize(&target.console, &query).await?;
    ensure!(consent.status == StatusCode::OK, "no consent page: {}", consent.status);
    let nobody = Console::new(target.system)?;
    let login = nobody.get("/login").await?;
    let refusal = target.server.authorize(&nobody, &[("client_id".to_owned(), "nobody".to_owned())]).await?;
    for page in [consent, login, refusal] {
        let header = |name: &str| page.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        ensure!(header("x-frame-options") == "DENY", "{}: {:?}", page.url.path(), header("x-frame-options"));
        let policy = header("content-security-policy");
        ensure!(policy.contains("frame-ancestors 'none'"), "{}: {policy}", page.url.path());
        ensure!(header("cache-control").contains("no-store"), "{} may be kept", page.url.path());
        ensure!(header("referrer-policy") == "no-referrer", "{} says where it was", page.url.path());
    }
    Ok(())
}
