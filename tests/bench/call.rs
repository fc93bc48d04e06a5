//! `bench call`: one tool call, over and over.

use std::time::Duration;

use anyhow::{Context as _, Result};
use toolmesh_tests::system::Options;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{System, eventually, paths};

use crate::Call;
use crate::load::{Target, run as load};
use crate::memory::resident;
use crate::proxy::Proxy;
use crate::report::{Load, Report, Row};
use crate::servers::Upstream;

pub const WARM_UP: Duration = Duration::from_secs(1);

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When something does not start or any call fails.
pub async fn run(options: &Call) -> Result<()> {
    let report = match (&options.url, &options.tool) {
        (Some(url), Some(tool)) => elsewhere(options, url, tool).await?,
        _ => own_node(options).await?,
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

/// An endpoint that someone else runs.
async fn elsewhere(options: &Call, url: &str, tool: &str) -> Result<Report> {
    let target = Target::tool_call(url, None, tool, &options.arguments, options.token.as_deref())?;
    let mut loads = Vec::new();
    for &connections in &options.connections {
        let measured = load(&target, connections, WARM_UP, Duration::from_secs(options.seconds)).await?;
        loads.push(Load::new(connections, Row::of(&measured, None, None), None));
    }
    Ok(Report { endpoint: "endpoint".to_owned(), seconds: options.seconds, loads })
}

/// A node of our own, started by `toolmesh up`, beside the bare proxy, both in front of one API without latency.
async fn own_node(options: &Call) -> Result<Report> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start(upstream.address).await?;
    let system = System::start(Options { nodes: 1, envs: crate::unlimited(), ..Options::default() }).await?;
    let node = system.ready.nodes.first().context("toolmesh up started no node")?.clone();
    let workspace = system.workspace().await?;
    let dadl = paths::fixture("bench.dadl");
    let url = format!("http://{}", upstream.address);
    system.enable_file(&workspace.slug, &dadl, "bench", &url, &[("token", "upstream-token")]).await?;
    let mcp = system.mcp_on(&node.http, &workspace, &workspace.key);
    eventually("the node has the tool", SOON, || async {
        Ok(mcp.names().await.is_ok_and(|names| names.iter().any(|name| name == "bench_search")).then_some(()))
    })
    .await?;

    let arguments = r#"{"q":"is:open","limit":2}"#;
    let key = Some(workspace.key.as_str());
    let through_node =
        Target::tool_call(&workspace.mcp_url, Some(node.http.parse()?), "bench_search", arguments, key)?;
    let through_proxy =
        Target::tool_call(&format!("http://{}/mcp", proxy.address), None, "bench_search", arguments, key)?;
    let measure = Duration::from_secs(options.seconds);
    let mut loads = Vec::new();
    for &connections in &options.connections {
        let before = upstream.requests();
        let measured =
            load(&through_node, connections, WARM_UP, measure).await.context("loading the node")?;
        let row = Row::of(&measured, Some(upstream.requests() - before), resident(node.pid));
        let before = upstream.requests();
        let measured =
            load(&through_proxy, connections, WARM_UP, measure).await.context("loading the bare proxy")?;
        let bare = Row::of(&measured, Some(upstream.requests() - before), resident(proxy.pid));
        loads.push(Load::new(connections, row, Some(bare)));
    }
    system.stop()?;
    Ok(Report { endpoint: "node".to_owned(), seconds: options.seconds, loads })
}
