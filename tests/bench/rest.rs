//! `bench rest`: what a REST call costs through a node, beside the same request made to the API directly and through the bare
//! proxy, all in one run.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use serde::Serialize;
use toolmesh_tests::system::Options;
use toolmesh_tests::{System, paths};

use crate::Rest;
use crate::load::{Target, run as load};
use crate::proxy::Proxy;
use crate::report::{Row, latency};
use crate::servers::Upstream;
use crate::unlimited;

const WARM_UP: Duration = Duration::from_secs(1);
const TOKEN: &str = "upstream-token";

/// A call as a tool and as the request that it becomes.
struct Call {
    name: &'static str,
    tool: &'static str,
    arguments: &'static str,
    method: Method,
    path: &'static str,
    body: &'static str,
}

const CALLS: [Call; 2] = [
    Call {
        name: "GET with a query",
        tool: "bench_search",
        arguments: r#"{"q":"is:open","limit":2}"#,
        method: Method::GET,
        path: "/search?limit=2&q=is%3Aopen",
        body: "",
    },
    Call {
        name: "POST of JSON",
        tool: "bench_create",
        arguments: r#"{"project":"billing","title":"Invoice totals are off","labels":["bug","money"]}"#,
        method: Method::POST,
        path: "/projects/billing/issues",
        body: r#"{"labels":["bug","money"],"title":"Invoice totals are off"}"#,
    },
];

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    seconds: u64,
    loads: Vec<Load>,
}

/// One kind of call with one number of connections.
#[derive(Debug, Serialize)]
struct Load {
    call: &'static str,
    connections: usize,
    node: Row,
    proxy: Row,
    direct: Row,
    /// What the node adds to a request that is made directly, and to one through the proxy.
    added: Added,
    added_to_proxy: Added,
}

#[derive(Debug, Serialize)]
struct Added {
    p50_micros: f64,
    p99_micros: f64,
}

impl Added {
    fn of(through: &Row, without: &Row) -> Self {
        Self {
            p50_micros: through.p50_micros - without.p50_micros,
            p99_micros: through.p99_micros - without.p99_micros,
        }
    }
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When something does not start or any call fails.
pub async fn run(options: &Rest) -> Result<()> {
    let upstream = Upstream::start().await?;
    let proxy = Proxy::start(upstream.address).await?;
    let system = System::start(Options { nodes: 1, envs: unlimited(), ..Options::default() }).await?;
    let node = system.ready.nodes.first().context("toolmesh up started no node")?.clone();
    let workspace = system.workspace().await?;
    let direct = format!("http://{}", upstream.address);
    let dadl = paths::fixture("bench.dadl");
    system.enable_file(&workspace.slug, &dadl, "bench", &direct, &[("token", TOKEN)]).await?;
    system.offered_everywhere(&workspace, "bench_search").await?;

    let measure = Duration::from_secs(options.seconds);
    let mut report = Report { seconds: options.seconds, loads: Vec::new() };
    for call in &CALLS {
        let key = Some(workspace.key.as_str());
        let node =
            Target::tool_call(&workspace.mcp_url, Some(node.http.parse()?), call.tool, call.arguments, key)?;
        let request = |base: &str| {
            Target::request(call.method.clone(), &format!("{base}{}", call.path), call.body, TOKEN)
        };
        let (proxy, api) = (request(&format!("http://{}", proxy.address))?, request(&direct)?);
        for &connections in &options.connections {
            let mut rows = Vec::new();
            for (place, target) in [("the node", &node), ("the bare proxy", &proxy), ("the API", &api)] {
                let before = upstream.requests();
                let measured = load(target, connections, WARM_UP, measure);
                let measured = measured.await.with_context(|| format!("loading {place}"))?;
                rows.push(Row::of(&measured, Some(upstream.requests() - before), None));
            }
            let [node, proxy, direct] = <[Row; 3]>::try_from(rows).ok().context("a row is missing")?;
            let (added, added_to_proxy) = (Added::of(&node, &direct), Added::of(&node, &proxy));
            report.loads.push(Load {
                call: call.name,
                connections,
                node,
                proxy,
                direct,
                added,
                added_to_proxy,
            });
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table(&report)?);
    }
    system.stop()
}

fn table(report: &Report) -> Result<String> {
    let mut out = format!(
        "{:<17} {:>11}  {:<16} {:>10} {:>10} {:>10} {:>14}\n",
        "", "connections", "", "req/s", "p50", "p99", "upstream/call"
    );
    for load in &report.loads {
        let mut head = (load.call, load.connections.to_string());
        for (name, row) in
            [("through a node", &load.node), ("bare proxy", &load.proxy), ("directly", &load.direct)]
        {
            let (call, connections) = std::mem::take(&mut head);
            let upstream = row.upstream_requests_per_call.unwrap_or_default();
            let (p50, p99) = (latency(row.p50_micros), latency(row.p99_micros));
            let rate = row.requests_per_second;
            writeln!(
                out,
                "{call:<17} {connections:>11}  {name:<16} {rate:>10.0} {p50:>10} {p99:>10} {upstream:>14.3}"
            )?;
        }
        for (name, added) in [("the node adds", &load.added), ("more than a proxy", &load.added_to_proxy)] {
            let (p50, p99) = (latency(added.p50_micros), latency(added.p99_micros));
            writeln!(out, "{:<17} {:>11}  {name:<16} {:>10} {p50:>10} {p99:>10}", "", "", "")?;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_a_node_adds_to_a_call() {
        let row = |p50: f64| Row {
            requests_per_second: 5000.0,
            p50_micros: p50,
            p99_micros: p50 * 10.0,
            upstream_requests_per_call: Some(1.0),
            memory_bytes: None,
        };
        let (node, proxy, direct) = (row(200.0), row(120.0), row(50.0));
        let (added, added_to_proxy) = (Added::of(&node, &direct), Added::of(&node, &proxy));
        let load = Load { call: "GET", connections: 16, node, proxy, direct, added, added_to_proxy };
        let table = table(&Report { seconds: 5, loads: vec![load] }).unwrap();
        for wanted in ["200 us", "120 us", "150 us", "1.50 ms", "800 us", "1.000"] {
            assert!(table.contains(wanted), "{wanted}: {table}");
        }
    }
}
