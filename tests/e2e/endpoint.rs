//! The endpoint: who gets in, which revision is spoken, what a tool looks like, and what is refused before anything leaves.

use anyhow::{Context as _, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use toolmesh_tests::mcp::REVISION;
use toolmesh_tests::{Answer, TestResult};

use crate::Echo;

#[tokio::test]
async fn without_a_token_the_answer_says_where_to_get_one() -> TestResult {
    let echo = Echo::new().await?;
    let open = echo.mcp.clone().header("authorization", "");
    let answer = open.initialize(REVISION).await?;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", echo.workspace.origin);
    let challenge = answer.header("www-authenticate");
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    assert!(challenge.contains(&format!("resource_metadata=\"{metadata}\"")), "{challenge}");
    assert!(challenge.contains("scope=\"mcp:tools\"") && !challenge.contains("error="), "{challenge}");
    let found = echo.system.http.get(metadata).send().await?;
    assert_eq!(found.status(), StatusCode::OK);

    let wrong = open.clone().token("wrong").initialize(REVISION).await?;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(
        wrong.header("www-authenticate").contains("error=\"invalid_token\""),
        "{}",
        wrong.header("www-authenticate")
    );
    let url = format!("{}?access_token={}", echo.workspace.mcp_url, echo.workspace.key);
    let query =
        echo.system.http.post(url).header("content-type", "application/json").body("{}").send().await?;
    assert_eq!(query.status(), StatusCode::UNAUTHORIZED, "a token in the address must not count");
    Ok(())
}

#[tokio::test]
async fn each_revision_is_negotiated() -> TestResult {
    let echo = Echo::new().await?;
    for (asked, given) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2024-11-05"),
        ("2031-01-01", "2025-11-25"),
        ("nonsense", "2025-11-25"),
    ] {
        let mcp = echo.mcp.clone().header("mcp-protocol-version", "");
        let answer = mcp.initialize(asked).await?;
        let json = answer.json()?;
        ensure!(json.pointer("/result/protocolVersion") == Some(&json!(given)), "asked {asked}: {json}");
        ensure!(json.pointer("/result/capabilities/tools").is_some(), "{json}");
        ensure!(json.pointer("/result/serverInfo/name").is_some(), "{json}");
        let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let noted = mcp.post(note.to_string()).await?;
        ensure!(
            (noted.status, noted.body.as_str()) == (StatusCode::ACCEPTED, ""),
            "{} {}",
            noted.status,
            noted.body
        );
        ensure!(!mcp.header("mcp-protocol-version", given).names().await?.is_empty());
    }
    let unknown =
        echo.mcp.clone().header("mcp-protocol-version", "1999-01-01").request("ping", json!({})).await?;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test]
async fn what_is_no_request_gets_the_protocols_own_error() -> TestResult {
    let echo = Echo::new().await?;
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("\u{feff}nonsense", -32700),
        ("{}", -32600),
        ("42", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"no/such"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}"#, -32600),
    ] {
        let answer = echo.mcp.post(body).await?;
        let json = answer.json().with_context(|| body.to_owned())?;
        ensure!(json.pointer("/error/code") == Some(&json!(code)), "{body}: {} {json}", answer.status);
        ensure!(!answer.status.is_server_error(), "{body}: {}", answer.status);
    }
    let id = json!({"jsonrpc": "2.0", "id": "ünïque-7", "method": "no/such"});
    assert_eq!(echo.mcp.post(id.to_string()).await?.json()?["id"], "ünïque-7");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = echo.mcp.post(deep).await?;
    assert!(answer.status.is_client_error() || answer.json()?.get("error").is_some(), "{}", answer.status);
    let large = echo.mcp.post(vec![b' '; 8 << 20]).await;
    // The endpoint may hang up before all of it has arrived.
    if let Ok(answer) = large {
        ensure!(answer.status == StatusCode::PAYLOAD_TOO_LARGE, "{}: {:.300}", answer.status, answer.body);
    }
    assert!(echo.upstream.seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn other_methods_hosts_and_paths_get_a_clear_answer() -> TestResult {
    let echo = Echo::new().await?;
    for method in [Method::GET, Method::DELETE] {
        let answer = echo.mcp.method(method.clone()).await?;
        ensure!(answer.status == StatusCode::METHOD_NOT_ALLOWED, "{method}: {}", answer.status);
        ensure!(answer.header("allow").contains("POST"), "{method}: {}", answer.header("allow"));
    }
    let http = &echo.system.http;
    let person = http.get(&echo.workspace.mcp_url).header("accept", "text/html,*/*").send().await?;
    assert_eq!(person.status(), StatusCode::OK);
    assert!(person.text().await?.contains(&echo.workspace.mcp_url), "the page for people names the address");
    let landing = Answer::of(http.get(format!("{}/", echo.workspace.origin)).send().await?).await?;
    assert_eq!(landing.status, StatusCode::OK);
    assert!(landing.headers.get("set-cookie").is_none(), "a tenant's host sets no cookies");

    let nowhere = http.get(format!("{}/nowhere", echo.workspace.origin)).send().await?;
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    let nowhere: Value = nowhere.json().await.context("an unknown path answers JSON")?;
    assert!(nowhere.is_object());
    for slug in ["no-such-workspace", "w000000000000", "admin"] {
        let url = format!("{}/mcp", echo.system.tenant(slug));
        let answer = http.post(url).bearer_auth(&echo.workspace.key).body("{}").send().await?;
        ensure!(answer.status() == StatusCode::NOT_FOUND, "{slug}: {}", answer.status());
    }
    let node = &echo.system.ready.nodes.first().context("no node")?.http;
    for host in ["evil.example", "localhost", "127.0.0.1", "x.y.localhost", ""] {
        let mcp = echo.system.mcp_on(node, &echo.workspace, &echo.workspace.key).host(host);
        let answer = mcp.request("ping", json!({})).await?;
        ensure!(answer.status.is_client_error(), "Host {host:?} got {}", answer.status);
    }
    Ok(())
}

#[tokio::test]
async fn tools_carry_the_installations_name_their_title_and_hints_for_the_client() -> TestResult {
    let echo = Echo::new().await?;
    let tools = echo.mcp.tools().await?;
    assert_eq!(tools.len() as u64, echo.installation.tools);
    for (name, read_only, destructive) in [
        ("echo_get_item", true, false),
        ("echo_create_item", false, false),
        ("echo_delete_item", false, true),
        ("echo_set_policy", false, true),
    ] {
        let tool = tools.iter().find(|tool| tool["name"] == name).with_context(|| format!("no {name}"))?;
        let hints = &tool["annotations"];
        ensure!(
            hints["readOnlyHint"] == read_only && hints["destructiveHint"] == destructive,
            "{name}: {hints}"
        );
        ensure!(hints["openWorldHint"] == true, "{name}: {hints}");
        ensure!(hints["title"].is_string() && tool["title"].is_string(), "{name} has no title");
        ensure!(tool["inputSchema"]["type"] == "object", "{name}: {}", tool["inputSchema"]);
    }
    let get = tools.iter().find(|tool| tool["name"] == "echo_get_item").context("no echo_get_item")?;
    assert_eq!(get["inputSchema"]["required"], json!(["id"]));
    assert_eq!(get["inputSchema"]["properties"]["limit"]["type"], "integer");
    assert_eq!(get["inputSchema"]["properties"]["limit"]["default"], 20);
    assert_eq!(get["inputSchema"]["properties"]["id"]["description"], "The item");
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    assert!(echo.mcp.names().await?.iter().all(|name| name.len() <= 64 && name.chars().all(fine)));
    Ok(())
}

#[tokio::test]
async fn an_unknown_tool_is_refused_by_name() -> TestResult {
    let echo = Echo::new().await?;
    for name in ["echo_no_such", "get_item", "github_list", "", "echo_get_item ", "ECHO_get_item"] {
        let answer = echo.mcp.call(name, json!({"id": "1"})).await?;
        let refusal = answer.refusal()?.with_context(|| format!("{name:?} was called"))?;
        ensure!(name.is_empty() || refusal.contains(name.trim()), "{name:?}: {refusal}");
    }
    assert!(echo.upstream.seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn wrong_arguments_name_the_field_and_nothing_leaves() -> TestResult {
    let echo = Echo::new().await?;
    for (tool, arguments, field) in [
        ("echo_get_item", json!({}), "id"),
        ("echo_get_item", json!({"id": 7}), "id"),
        ("echo_get_item", json!({"id": "1", "limit": "many"}), "limit"),
        ("echo_get_item", json!({"id": "1", "limit": 1.5}), "limit"),
        ("echo_get_item", json!({"id": "1", "exact": "yes"}), "exact"),
        ("echo_get_item", json!({"id": "1", "labels": "bug"}), "labels"),
        ("echo_get_item", json!({"id": "1", "surplus": 1}), "surplus"),
        ("echo_get_item", json!({"id": ""}), "id"),
        ("echo_get_item", json!({"id": ".."}), "id"),
        ("echo_get_item", json!({"id": "1", "X-Trace": "a\r\nEvil: 1"}), "X-Trace"),
        ("echo_create_item", json!({"title": "x", "options": []}), "options"),
        ("echo_create_item", json!({"count": 1}), "title"),
    ] {
        let answer = echo.mcp.call(tool, arguments.clone()).await?;
        let refusal = answer.refusal()?.with_context(|| format!("{tool} {arguments} was called"))?;
        ensure!(refusal.contains(field), "{tool} {arguments}: {refusal}");
    }
    for arguments in [json!([]), json!("x"), json!(7)] {
        let refusal = echo.mcp.call("echo_get_item", arguments.clone()).await?.refusal()?;
        ensure!(refusal.is_some(), "{arguments} was taken");
    }
    assert!(echo.upstream.seen().is_empty(), "{:?}", echo.upstream.seen());
    Ok(())
}

#[tokio::test]
async fn a_tool_that_is_switched_off_is_neither_listed_nor_called() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let fields = [("tool", "get_item"), ("enabled", "false")];
    console.submit(&echo.page(""), &echo.page("/tools"), &fields).await?.ok()?;
    for node in &echo.system.ready.nodes {
        let mcp = echo.system.mcp_on(&node.http, &echo.workspace, &echo.workspace.key);
        toolmesh_tests::eventually("the tool is gone", std::time::Duration::from_secs(1), || async {
            Ok((!mcp.names().await?.contains(&"echo_get_item".to_owned())).then_some(()))
        })
        .await?;
        let refusal =
            mcp.call("echo_get_item", json!({"id": "1"})).await?.refusal()?.context("it was called")?;
        ensure!(refusal.contains("echo_get_item"), "{refusal}");
    }
    assert!(echo.upstream.seen().is_empty());
    assert!(echo.mcp.call("echo_whoami", json!({})).await?.refusal()?.is_none(), "the others still work");
    Ok(())
}

#[tokio::test]
async fn every_answer_carries_a_request_id_of_its_own() -> TestResult {
    let echo = Echo::new().await?;
    let first = echo.mcp.request("ping", json!({})).await?;
    let second = echo
        .mcp
        .clone()
        .header("x-request-id", first.header("x-request-id"))
        .request("ping", json!({}))
        .await?;
    assert!(uuid::Uuid::parse_str(first.header("x-request-id")).is_ok(), "{}", first.header("x-request-id"));
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    assert_eq!(first.json()?["result"], json!({}));
    Ok(())
}

#[tokio::test]
async fn a_foreign_web_page_cannot_use_the_endpoint() -> TestResult {
    let echo = Echo::new().await?;
    let answer = echo.mcp.clone().header("origin", "https://evil.example").request("ping", json!({})).await?;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    Ok(())
}

#[tokio::test]
async fn a_client_of_which_nothing_can_be_asked_cancels_its_call_over_another_node() -> TestResult {
    let echo = Echo::new().await?;
    let begun = echo.mcp.initialize("2025-11-25").await?;
    let session = begun.header("mcp-session-id").to_owned();
    ensure!(!session.is_empty(), "by its session the nodes find each other: {}", begun.body);
    let on = |node: usize| {
        let node = &echo.system.ready.nodes[node].http;
        let mcp = echo.system.mcp_on(node, &echo.workspace, &echo.workspace.key);
        mcp.header("mcp-session-id", &session)
    };
    for (calling, cancelling) in [(0, 1), (1, 0)] {
        let call = json!({"jsonrpc": "2.0", "id": "c-1", "method": "tools/call", "params": {"name": "echo_slow", "arguments": {}}});
        let mut stream = on(calling).open(call.to_string()).await?;
        let cancel =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "c-1"}});
        assert_eq!(on(cancelling).post(cancel.to_string()).await?.status, StatusCode::ACCEPTED);
        let answer = stream.next().await?;
        ensure!(answer["id"] == "c-1" && answer["result"]["isError"] == true, "{answer}");
        ensure!(answer.to_string().contains("cancelled"), "{answer}");
    }
    Ok(())
}
