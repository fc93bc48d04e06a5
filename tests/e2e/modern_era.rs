//! The era without handshake, revision 2026-07-28: what a request must say, what every result says, and how a client hears of
//! changes.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::mcp::Stream;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Answer, Mcp, TestResult, eventually};

use crate::Echo;

const NOW: &str = "2026-07-28";

fn meta(version: &str) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A client that says in its headers what a request is.
fn client(mcp: &Mcp, method: &str, name: &str) -> Mcp {
    mcp.clone().header("mcp-protocol-version", NOW).header("mcp-method", method).header("mcp-name", name)
}

async fn ask(mcp: &Mcp, method: &str, mut params: Value) -> anyhow::Result<Answer> {
    let name = params.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Value::Object(params) = &mut params {
        params.insert("_meta".to_owned(), meta(NOW));
    }
    client(mcp, method, &name).request(method, params).await
}

#[tokio::test]
async fn a_client_without_handshake_discovers_lists_and_calls() -> TestResult {
    let echo = Echo::new().await?;
    let found = ask(&echo.mcp, "server/discover", json!({})).await?.json()?;
    let result = found.get("result").with_context(|| found.to_string())?;
    assert_eq!(result["resultType"], "complete");
    assert_eq!(
        result["supportedVersions"],
        json!([NOW, "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
    );
    assert_eq!(result["capabilities"], json!({"tools": {"listChanged": true}}));
    assert_eq!(result["cacheScope"], "private");

    let list = ask(&echo.mcp, "tools/list", json!({})).await?.json()?;
    let old = echo.mcp.tools().await?;
    assert_eq!(list["result"]["tools"], json!(old), "both eras show the same tools");
    assert!(list["result"]["ttlMs"].is_u64(), "{list}");

    let answer = ask(&echo.mcp, "tools/call", json!({"name": "echo_whoami"})).await?;
    ensure!(!answer.text()?.is_empty(), "{}", answer.body);
    let called = answer.json()?;
    assert_eq!(called["result"]["resultType"], "complete");
    let server = &called["result"]["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(server["name"], json!(echo.workspace.slug));
    ensure!(answer.header("mcp-session-id").is_empty(), "there are no sessions");
    Ok(())
}

#[tokio::test]
async fn a_mistake_has_the_code_by_which_clients_stay_in_this_era() -> TestResult {
    let echo = Echo::new().await?;
    let call = |version: &str| json!({"name": "echo_whoami", "_meta": meta(version)});
    let good = client(&echo.mcp, "tools/call", "echo_whoami");
    let cases = [
        ("no header for the version", good.clone().header("mcp-protocol-version", ""), call(NOW), -32020),
        ("another version in the body", good.clone(), call("v999"), -32020),
        (
            "a version from the future",
            good.clone().header("mcp-protocol-version", "v999"),
            call("v999"),
            -32022,
        ),
        ("nothing about the client", good.clone(), json!({"name": "echo_whoami"}), -32602),
        ("another method in the header", good.clone().header("mcp-method", "tools/list"), call(NOW), -32020),
        ("no method in the header", good.clone().header("mcp-method", ""), call(NOW), -32020),
        ("another tool in the header", good.clone().header("mcp-name", "echo_other"), call(NOW), -32020),
    ];
    for (what, mcp, params, code) in cases {
        let answer = mcp.request("tools/call", params).await?;
        let json = answer.json()?;
        ensure!(answer.status == StatusCode::BAD_REQUEST, "{what}: {} {json}", answer.status);
        ensure!(json["error"]["code"] == json!(code) && json["id"] == json!(1), "{what}: {json}");
    }
    assert!(echo.upstream.seen().is_empty(), "nothing of it was carried out");
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "no/such"] {
        let answer = ask(&echo.mcp, method, json!({})).await?;
        ensure!(answer.status == StatusCode::NOT_FOUND, "{method}: {}", answer.status);
        ensure!(answer.json()?["error"]["code"] == json!(-32601), "{method}: {}", answer.body);
    }
    let unknown = ask(&echo.mcp, "tools/call", json!({"name": "echo_no_such"})).await?;
    assert_eq!(unknown.json()?["error"]["code"], -32602);
    let nobody = client(&echo.mcp, "server/discover", "").token("wrong");
    assert_eq!(nobody.request("server/discover", json!({})).await?.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[tokio::test]
async fn a_listening_client_hears_of_its_tools_and_of_nothing_else() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    // One node's: another may hear of the change a moment later.
    let node = &echo.system.ready.nodes.first().context("no node")?.http;
    let mcp = echo.system.mcp_on(node, &echo.workspace, &echo.workspace.key);
    let mut stream = listen(&mcp).await?;

    let first = stream.next().await?;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], json!({"toolsListChanged": true}));
    assert_eq!(first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "l-1");

    // A change that does not touch the list is followed by one that does: the first thing heard is about the second.
    console
        .submit(&echo.page(""), &echo.page("/credential"), &[("credential.token", "a-new-one")])
        .await?
        .ok()?;
    let off = [("tool", "whoami"), ("enabled", "false")];
    console.submit(&echo.page(""), &echo.page("/tools"), &off).await?.ok()?;
    let told = stream.next().await?;
    assert_eq!(told["method"], "notifications/tools/list_changed");
    let list = ask(&mcp, "tools/list", json!({})).await?;
    ensure!(!list.body.contains("echo_whoami"), "told of a change that is not in force: {}", list.body);

    // Who is nobody any more is told in order that there is nothing more to hear.
    let member = echo.system.person().await?;
    echo.system.join(&echo.workspace, &member, "member").await?;
    let key = echo.system.key(&echo.workspace.slug, &member.email).await?;
    let mcp = echo.system.mcp_on(node, &echo.workspace, &key);
    eventually("the member is in", SOON, || async {
        Ok((mcp.request("ping", json!({})).await?.status == StatusCode::OK).then_some(()))
    })
    .await?;
    let mut stream = listen(&mcp).await?;
    stream.next().await?;
    let members = format!("/w/{}/members", echo.workspace.slug);
    let remove = format!("{members}/{}/remove", member.user_id);
    console.submit(&members, &remove, &[]).await?.ok()?;
    let last = stream.next().await?;
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!("l-1"), &json!("complete")));
    Ok(())
}

async fn listen(mcp: &Mcp) -> anyhow::Result<Stream> {
    let params =
        json!({"_meta": meta(NOW), "notifications": {"toolsListChanged": true, "promptsListChanged": true}});
    let body = json!({"jsonrpc": "2.0", "id": "l-1", "method": "subscriptions/listen", "params": params});
    let stream = client(mcp, "subscriptions/listen", "").open(body.to_string()).await?;
    ensure!(stream.status == StatusCode::OK, "{}", stream.status);
    ensure!(stream.headers["x-accel-buffering"] == "no");
    Ok(stream)
}
