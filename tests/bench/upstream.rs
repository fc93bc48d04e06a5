//! `bench upstream`: one call of a tool of another MCP server, asked directly, through the bare proxy and through a node.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use toolmesh_tests::System;
use toolmesh_tests::servers::ServerAuth;
use toolmesh_tests::system::Options;

use crate::call::WARM_UP;
use crate::load::{Target, run as load};
use crate::mcp::Server;
use crate::memory::resident;
use crate::proxy::Proxy;
use crate::report::{Row, latency, line};
use crate::{Era, Upstream, unlimited};

/// One number of connections in one era.
#[derive(Debug, Serialize)]
struct Load {
    era: Era,
    connections: usize,
    direct: Row,
    proxy: Row,
    node: Row,
    added_to_direct: Added,
    added_to_proxy: Added,
}

/// What a node adds to the time of a call.
#[derive(Debug, Serialize)]
struct Added {
    p50_micros: f64,
    p99_micros: f64,
}

impl Added {
    fn to(other: &Row, node: &Row) -> Self {
        Self {
            p50_micros: node.p50_micros - other.p50_micros,
            p99_micros: node.p99_micros - other.p99_micros,
        }
    }
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When something does not start, any call fails, or a call costs the server more than one request.
pub async fn run(options: &Upstream) -> Result<()> {
    let mut loads = Vec::new();
    for era in [Era::Modern, Era::Legacy] {
        loads.extend(in_era(options, era).await?);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&loads)?);
    } else {
        print!("{}", table(&loads));
    }
    for load in &loads {
        let each = load.node.upstream_requests_per_call.unwrap_or_default();
        // The first call of a caller begins a session with an older server.
        ensure!((1.0..1.005).contains(&each), "a call cost the server {each:.3} requests");
    }
    Ok(())
}

async fn in_era(options: &Upstream, era: Era) -> Result<Vec<Load>> {
    let server = Server::start(era).await?;
    let proxy = Proxy::start(server.address).await?;
    let system = System::start(Options { nodes: 1, envs: unlimited(), ..Options::default() }).await?;
    let node = system.ready.nodes.first().context("toolmesh up started no node")?.clone();
    let workspace = system.workspace().await?;
    system.add_mcp_server(&workspace, "bench", &server.url(), ServerAuth::None).await?;
    system.offered_everywhere(&workspace, "bench_search").await?;

    let arguments = r#"{"q":"is:open","limit":2}"#;
    let target = |url: &str, address, tool: &str, key| {
        Target::tool_call(url, address, tool, arguments, key).and_then(|target| match era {
            Era::Modern => target.stateless(),
            Era::Legacy => Ok(target),
        })
    };
    let direct = target(&server.url(), None, "search", None)?;
    let through_proxy = target(&format!("http://{}/mcp", proxy.address), None, "search", None)?;
    let key = Some(workspace.key.as_str());
    let through_node = target(&workspace.mcp_url, Some(node.http.parse()?), "bench_search", key)?;
    let measure = Duration::from_secs(options.seconds);
    let mut loads = Vec::new();
    for &connections in &options.connections {
        let row = async |target: &Target, pid: Option<i32>, what: &'static str| -> Result<Row> {
            let before = server.requests();
            let measured = load(target, connections, WARM_UP, measure).await.context(what)?;
            Ok(Row::of(&measured, Some(server.requests() - before), pid.and_then(resident)))
        };
        let direct = row(&direct, None, "asking the server").await?;
        let proxy = row(&through_proxy, Some(proxy.pid), "loading the bare proxy").await?;
        let node = row(&through_node, Some(node.pid), "loading the node").await?;
        loads.push(Load {
            era,
            connections,
            added_to_direct: Added::to(&direct, &node),
            added_to_proxy: Added::to(&proxy, &node),
            direct,
            proxy,
            node,
        });
    }
    system.stop()?;
    Ok(loads)
}

fn table(loads: &[Load]) -> String {
    let mut out = String::new();
    let head = ["req/s", "p50", "p99", "upstream/call", "memory"];
    let head = format!(
        "{:>11}  {:<10} {:>10} {:>10} {:>10} {:>14} {:>12}\n",
        "connections", "", head[0], head[1], head[2], head[3], head[4]
    );
    let mut era = None;
    for load in loads {
        if era.replace(load.era) != Some(load.era) {
            out.push_str(&format!("{}\n{head}", load.era.title()));
        }
        out.push_str(&line(&load.connections.to_string(), "direct", &load.direct));
        out.push_str(&line("", "bare proxy", &load.proxy));
        out.push_str(&line("", "node", &load.node));
        for (name, added) in [("to direct", &load.added_to_direct), ("to proxy", &load.added_to_proxy)] {
            out.push_str(&format!(
                "{:>11}  {:<10} {:>10} {:>10} {:>10}\n",
                "",
                name,
                "added",
                latency(added.p50_micros),
                latency(added.p99_micros)
            ));
        }
    }
    out
}
