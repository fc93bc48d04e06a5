//! Servers that others published, behind the workspace's endpoint, and the desktop programs that reach it through `mcp-remote`,
//! which logs in by itself. Requests go round over three nodes.

use anyhow::ensure;
use serde_json::{Value, json};
use toolmesh_tests::TestResult;
use toolmesh_tests::everywhere::Everywhere;
use toolmesh_tests::published::{Kind, Manner, Published};

use crate::everything::{Walker, check_asked, check_plain, check_told, walked};
use crate::{Script, approve, node, system};

/// What the reference server is seen to have.
fn check(found: &Value) -> TestResult {
    let list = |key: &str| found[key].as_array().cloned().unwrap_or_default();
    let has = |key: &str, name: &str| list(key).contains(&json!(name));
    for tool in
        ["echo", "get-sum", "trigger-elicitation-request", "trigger-sampling-request", "get-roots-list"]
    {
        ensure!(has("tools", tool), "{tool} is not offered: {}", found["tools"]);
    }
    ensure!(found["echo"] == "Echo: hello" && found["structured"] == "Light rain / drizzle", "{found}");
    ensure!(found["progress"] == json!([1, 2, 3]), "{}", found["progress"]);
    ensure!(found["linked"] == json!([true, true]), "a link of a tool's leads nowhere: {found}");
    for (key, begin) in [("embedded", "Resource 4:"), ("about", "Resource 2:")] {
        ensure!(found[key].as_str().is_some_and(|text| text.starts_with(begin)), "{key}: {}", found[key]);
    }
    ensure!(found["resources"].as_u64() > Some(0), "{found}");
    ensure!(has("templates", "demo://resource/dynamic/text/{resourceId}"), "{}", found["templates"]);
    ensure!(has("prompts", "completable-prompt"), "{}", found["prompts"]);
    ensure!(found["prompt"] == "What's weather in Paris, Texas?", "{}", found["prompt"]);
    ensure!(found["department"] == json!(["Engineering"]) && found["name"] == json!(["Alice"]), "{found}");
    for (key, part) in [("elicited", "Ada"), ("sampled", "Paris"), ("roots", "file:///notes/ada")] {
        ensure!(found[key].as_str().is_some_and(|text| text.contains(part)), "{key}: {}", found[key]);
    }
    Ok(())
}

/// A desktop program logs in and goes all its steps; each of its calls is one at the server.
async fn bridged(kind: Kind, era: &str) -> TestResult {
    let system = system().await?;
    let published = Published::start(kind).await?;
    let scene = Everywhere::over(system, &published.url, "echo", &[]).await?;
    let workspace = &scene.workspace;
    let member = system.person().await?;
    system.join(workspace, &member, "member").await?;
    let mut client = Script::run(&node()?, "node/published.mjs", &[&workspace.mcp_url, era], &[])?;
    let url = client.said("AUTHORIZE").await?;
    approve(system, &member, &url, "MCP CLI Proxy").await?;
    let found = client.json("WALKED").await?;
    check(&found)?;
    let (calls, asked) = (found["calls"].as_u64(), scene.upstream.asked("tools/call"));
    ensure!(calls == Some(asked as u64), "{asked} calls reached the server for {calls:?}");
    if era == "auto" {
        let console = system.console(&workspace.owner).await?;
        let off = [("tool", "echo"), ("enabled", "false")];
        console.submit(&scene.page, &format!("{}/tools", scene.page), &off).await?.ok()?;
        let tools = client.json("CHANGED").await?;
        ensure!(tools.as_array().is_some_and(|all| !all.contains(&json!("echo"))), "{tools}");
    }
    client.end().await?;
    scene.upstream.clients_clean()
}

#[tokio::test]
async fn mcp_remote_logs_in_and_has_all_of_the_reference_server_in_the_older_era() -> TestResult {
    bridged(Kind::Everything, "legacy").await
}

#[tokio::test]
async fn mcp_remote_logs_in_and_has_all_of_the_reference_server_in_the_newer_era() -> TestResult {
    bridged(Kind::Everything, "auto").await
}

#[tokio::test]
async fn mcp_remote_has_all_of_the_reference_server_over_the_transport_of_2024() -> TestResult {
    bridged(Kind::EverythingSse, "legacy").await
}

/// Clients of both eras through FastMCP in one of its manners.
async fn python(manner: Manner) -> TestResult {
    let published = Published::start(Kind::Python(manner)).await?;
    let scene = Everywhere::over(system().await?, &published.url, "test_simple_text", &[]).await?;
    for walker in [Walker::typescript_first(), Walker::typescript_modern()] {
        let found = walked(&scene, &walker).await?;
        check_plain(&found)?;
        if manner != Manner::Json {
            check_told(&found)?;
        }
        if matches!(manner, Manner::Sessions | Manner::Sse) {
            check_asked(&found)?;
        }
    }
    scene.upstream.clients_clean()
}

#[tokio::test]
async fn fastmcp_with_sessions_has_clients_of_both_eras() -> TestResult {
    python(Manner::Sessions).await
}

#[tokio::test]
async fn fastmcp_without_sessions_has_clients_of_both_eras() -> TestResult {
    python(Manner::Stateless).await
}

#[tokio::test]
async fn fastmcp_that_answers_in_json_has_clients_of_both_eras() -> TestResult {
    python(Manner::Json).await
}

#[tokio::test]
async fn fastmcp_over_the_transport_of_2024_has_clients_of_both_eras() -> TestResult {
    python(Manner::Sse).await
}

/// What a server that speaks standard input and output remembers is there whichever node asks it.
#[tokio::test]
async fn a_server_of_standard_input_and_output_is_reached_through_a_gateway_of_others() -> TestResult {
    for sessions in [true, false] {
        let published = Published::start(Kind::Memory { sessions }).await?;
        let system = system().await?;
        let scene = Everywhere::over(system, &published.url, "create_entities", &[]).await?;
        let mcp = system.mcp(&scene.workspace, &scene.workspace.key);
        for name in ["Ada", "Grace", "Alan"] {
            let entity = json!({ "name": name, "entityType": "person", "observations": ["knows machines"] });
            mcp.call("create_entities", json!({ "entities": [entity] })).await?.text()?;
        }
        let graph = mcp.call("read_graph", json!({})).await?.text()?;
        ensure!(["Ada", "Grace", "Alan"].iter().all(|name| graph.contains(name)), "{graph}");
        ensure!(scene.upstream.asked("tools/call") == 4, "{}", scene.upstream.asked("tools/call"));
        scene.upstream.clients_clean()?;
    }
    Ok(())
}
