//! Code mode from outside: what clients see of a large workspace, how a model finds and calls tools, and what the log keeps.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toolmesh_tests::servers::ServerAuth;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Mcp, System, TestResult, Upstream, Workspace, eventually, paths};

use crate::Echo;
use crate::mcp_servers::scripted::Scripted;

/// A connector with so many tools that read, and a composite over two of them.
fn large(tools: usize) -> String {
    let mut text = "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nsource_name: Shop\nbackend:\n  name: shop\n  type: rest\n  \
                    description: A shop.\n  auth: { type: none }\n  tools:\n"
        .to_owned();
    for n in 0..tools {
        let _ = writeln!(
            text,
            "    list_{n}: {{ method: GET, path: /echo/list-{n}, access: read, description: Lists the things of shelf {n}. }}"
        );
    }
    text.push_str(
        "    _raw: { method: GET, path: /echo/raw, access: read, description: Raw. }\n  composites:\n    both_shelves:\n      \
         description: Lists two shelves at once.\n      code: |\n        const [a, b] = await Promise.all([api.list_0(), api._raw()]);\n        return \
         [a.path, b.path];\n",
    );
    text
}

/// A workspace in which connectors of these sizes are enabled, in this order.
async fn shops(sizes: &[usize]) -> Result<(&'static System, Workspace, Mcp, Upstream)> {
    let system = System::shared().await?;
    let upstream = Upstream::start().await?;
    let workspace = system.workspace().await?;
    let folder = paths::scratch("toolmesh-shop-")?;
    for (n, size) in sizes.iter().enumerate() {
        let path = folder.path().join(format!("shop-{n}.dadl"));
        std::fs::write(&path, large(*size))?;
        system.enable_file(&workspace.slug, &path, &format!("shop-{n}"), &upstream.url(), &[]).await?;
    }
    let mcp = system.mcp(&workspace, &workspace.key);
    Ok((system, workspace, mcp, upstream))
}

/// The names in the list, as soon as all nodes know as many.
async fn listed(system: &System, workspace: &Workspace, count: usize) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for node in &system.ready.nodes {
        let mcp = system.mcp_on(&node.http, workspace, &workspace.key);
        names = eventually(&format!("{} lists {count} tools", node.name), SOON, || async {
            Ok(Some(mcp.names().await?).filter(|names| names.len() == count))
        })
        .await?;
    }
    Ok(names)
}

async fn returned(mcp: &Mcp, code: &str) -> Result<Value> {
    let answer = mcp.call("execute_code", json!({ "code": code })).await?;
    let text = answer.text().with_context(|| code.to_owned())?;
    Ok(serde_json::from_str::<Value>(&text)?["returned"].clone())
}

#[tokio::test]
async fn a_small_workspace_is_a_list_and_a_large_one_is_two_tools() -> TestResult {
    let (system, workspace, mcp, _upstream) = shops(&[20]).await?;
    // Twenty, and the composite; what is for composites alone is not among them.
    let names = listed(system, &workspace, 21).await?;
    ensure!(names.iter().all(|name| name.starts_with("shop-0_")), "{names:?}");
    let refused = mcp.call("execute_code", json!({"code": "1"})).await?.refusal()?;
    ensure!(refused.is_some_and(|told| told.contains("Unknown tool")));

    let (system, workspace, mcp, _upstream) = shops(&[20, 30]).await?;
    let names = listed(system, &workspace, 23).await?;
    ensure!(names.iter().filter(|name| name.starts_with("shop-1_")).count() == 0, "{names:?}");
    ensure!(names[..2] == ["discover_tools", "execute_code"], "{names:?}");
    let hello = mcp.initialize("2025-11-25").await?.json()?;
    ensure!(hello["result"]["instructions"].as_str().is_some_and(|text| text.contains("discover_tools")));
    Ok(())
}

#[tokio::test]
async fn a_model_finds_what_it_needs_and_calls_it_at_once() -> TestResult {
    let (system, workspace, mcp, upstream) = shops(&[60]).await?;
    listed(system, &workspace, 2).await?;
    let found = mcp.call("discover_tools", json!({"query": "list shelf 7"})).await?.text()?;
    ensure!(found.contains("tools.shop_0.list_7(): Promise<any>"), "{found}");
    ensure!(found.len() < 6_000, "{} bytes", found.len());
    let code = "const all = await Promise.all([1, 2, 3].map((n) => tools.shop_0[`list_${n}`]()));\nreturn all.length";
    ensure!(returned(&mcp, code).await? == 3);
    ensure!(upstream.seen().len() == 3, "{:?}", upstream.seen());
    // What is for composites alone would do without their checks.
    let raw = mcp.call("execute_code", json!({"code": "return await tools.shop_0._raw()"})).await?;
    ensure!(raw.refusal()?.is_some_and(|told| told.contains("_raw")));
    ensure!(upstream.seen().iter().all(|seen| seen.path != "/echo/raw"), "{:?}", upstream.seen());
    let paths = returned(&mcp, "return await tools.shop_0.both_shelves()").await?;
    ensure!(paths.as_array().is_some_and(|paths| paths.len() == 2), "{paths}");
    Ok(())
}

#[tokio::test]
async fn a_tool_of_another_server_is_found_by_what_it_takes_and_shown_with_its_types() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let lookup = json!({
        "name": "lookup", "description": "Looks a thing up.", "annotations": {"readOnlyHint": true},
        "inputSchema": {"type": "object", "required": ["customer_number"], "properties": {
            "customer_number": {"type": "string", "description": "As printed on the invoice"}}},
        "outputSchema": {"type": "object", "required": ["balance"], "properties": {"balance": {"type": "number"}}},
    });
    let count = json!({
        "name": "count", "description": "Counts.", "annotations": {"readOnlyHint": true},
        "inputSchema": {"type": "object", "properties": {}},
    });
    let server = Scripted::start(&[lookup, count], None).await?;
    let added = system.add_mcp_server(&workspace, "orders", &server.url(), ServerAuth::None).await?;
    let console = system.console(&workspace.owner).await?;
    let page = format!("/w/{}/connectors/{}", workspace.slug, added.id);
    console.submit(&page, &format!("{page}/exposure"), &[("exposure", "code")]).await?.ok()?;
    system.offered_everywhere(&workspace, "discover_tools").await?;
    let mcp = system.mcp(&workspace, &workspace.key);
    for query in ["customer number", "printed invoice"] {
        let found = mcp.call("discover_tools", json!({ "query": query })).await?.text()?;
        let signature =
            "tools.orders.lookup(args: { customer_number: string }): Promise<{ balance: number }>";
        ensure!(found.contains(signature), "{query}: {found}");
        ensure!(found.contains("As printed on the invoice") && !found.contains("orders.count"), "{found}");
    }
    Ok(())
}

#[tokio::test]
async fn an_admin_says_where_the_tools_are_found() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let page = format!("/w/{}/connectors/{}", echo.workspace.slug, echo.installation.id);
    let before = echo.mcp.names().await?;
    let shown = console.visit(&page).await?.ok()?.text();
    ensure!(shown.contains(&format!("{} of 40", before.len())), "{shown}");

    console.submit(&page, &format!("{page}/exposure"), &[("exposure", "code")]).await?.ok()?;
    listed(echo.system, &echo.workspace, 2).await?;
    let shown = console.visit(&page).await?.ok()?.text();
    ensure!(shown.contains("2 of 40"), "{shown}");
    // Whoever knows a name is still served: this is not about rights.
    echo.mcp.call("echo_whoami", json!({})).await?.text()?;

    console
        .submit(&page, &format!("{page}/promote"), &[("tool", "whoami"), ("promoted", "true")])
        .await?
        .ok()?;
    let names = listed(echo.system, &echo.workspace, 3).await?;
    ensure!(names[2] == "echo_whoami", "{names:?}");

    console.submit(&page, &format!("{page}/exposure"), &[("exposure", "both")]).await?.ok()?;
    listed(echo.system, &echo.workspace, before.len() + 2).await?;
    console.submit(&page, &format!("{page}/exposure"), &[("exposure", "direct")]).await?.ok()?;
    let after = listed(echo.system, &echo.workspace, before.len()).await?;
    ensure!(after == before);
    let odd = console.submit(&page, &format!("{page}/exposure"), &[("exposure", "elsewhere")]).await?;
    ensure!(odd.status == 404, "{}", odd.status);
    Ok(())
}

#[tokio::test]
async fn the_log_shows_what_code_called_and_on_whose_behalf() -> TestResult {
    let (system, workspace, mcp, _upstream) = shops(&[60]).await?;
    listed(system, &workspace, 2).await?;
    let code = "await tools.shop_0.both_shelves();\nreturn 'hello from code'";
    ensure!(returned(&mcp, code).await? == "hello from code");
    let console = system.console(&workspace.owner).await?;
    let log = format!("/w/{}/audit", workspace.slug);
    let parent = eventually("the run is in the log with its calls", Duration::from_secs(5), || async {
        let list = console.visit(&format!("{log}?tool=execute_code")).await?.ok()?;
        let Some(link) = list.links(&format!("{log}/")).into_iter().next() else { return Ok(None) };
        let page = console.visit(&link).await?.ok()?;
        Ok(page.text().contains("Calls made by it").then_some(page))
    })
    .await?;
    let text = parent.text();
    ensure!(text.contains("hello from code") && text.contains("shop-0_both_shelves"), "{text}");
    let child = console.visit(&format!("{log}?tool=shop-0_list_0")).await?.ok()?;
    let link =
        child.links(&format!("{log}/")).into_iter().next().context("the inner call is not in the log")?;
    let child = console.visit(&link).await?.ok()?;
    ensure!(
        child.text().contains("Made by") && child.text().contains("shop-0_both_shelves"),
        "{}",
        child.text()
    );
    Ok(())
}

#[tokio::test]
async fn hostile_code_ends_and_the_next_run_works() -> TestResult {
    let (system, workspace, mcp, _upstream) = shops(&[60]).await?;
    listed(system, &workspace, 2).await?;
    for (code, part) in [
        ("for (;;);", "computed"),
        ("const all = []; for (;;) all.push(new Array(1000).fill('x'))", "memory"),
        ("(function f() { f() })()", "stack"),
        ("await Promise.all(Array.from({ length: 3000 }, () => tools.shop_0.list_1()))", "200 calls"),
        ("await fetch('http://127.0.0.1/')", "fetch"),
        ("await new Promise(() => {})", "nothing will settle"),
    ] {
        let told = mcp.call("execute_code", json!({ "code": code })).await?.refusal()?;
        ensure!(told.as_ref().is_some_and(|told| told.contains(part)), "{code}: {told:?}");
    }
    ensure!(returned(&mcp, "6 * 7").await? == 42);
    Ok(())
}
