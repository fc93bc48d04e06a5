//! `bench fair`: what one workspace feels of another that asks fifty times as often as it may.
//!
//! Measured in turns, quiet and flooded, so that whatever else the machine does meets both alike.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use toolmesh_tests::system::Options;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{System, Workspace, eventually, paths};

use crate::Fair;
use crate::histogram::Histogram;
use crate::load::{Flooded, Target, flood, run as load};
use crate::servers::Upstream;
use crate::unlimited;

const WARM_UP: Duration = Duration::from_millis(500);
/// How many times its limit the one asks.
const TIMES: u32 = 50;
const TOOL: &str = "bench_search";

#[derive(Debug, Serialize)]
struct Row {
    calls: u64,
    p50_micros: u64,
    p99_micros: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    /// Requests per minute that the one may send.
    limit_per_minute: u32,
    flood: Flooded,
    quiet: Row,
    flooded: Row,
    p50_change_percent: f64,
    p99_change_percent: f64,
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When something does not start, or the flood is not refused.
pub async fn run(options: &Fair) -> Result<()> {
    let upstream = Upstream::start().await?;
    let system = System::start(Options { nodes: 1, envs: unlimited(), ..Options::default() }).await?;
    let (noisy, other) = (workspace(&system, &upstream).await?, workspace(&system, &upstream).await?);
    limit(&system, &noisy, options.limit).await?;
    let (noisy, other) = (target(&system, &noisy)?, target(&system, &other)?);
    let per_second = f64::from(options.limit) * f64::from(TIMES) / 60.0;
    // The minute's worth that may come at once, so that the limit is reached when the measurement begins.
    let measure = Duration::from_secs(options.seconds);
    let drained =
        flood(&noisy, f64::from(options.limit), options.connections, Duration::from_secs(2)).await?;
    ensure!(drained.refused > 0, "the limit was not reached: {drained:?}");

    let (mut quiet, mut flooded, mut sent) = (Histogram::default(), Histogram::default(), Flooded::default());
    for _ in 0..options.rounds {
        quiet.merge(&load(&other, 1, WARM_UP, measure).await?.latencies);
        let (beside, measured) = tokio::join!(
            flood(&noisy, per_second, options.connections, WARM_UP + measure),
            load(&other, 1, WARM_UP, measure)
        );
        flooded.merge(&measured.context("beside the flood")?.latencies);
        sent.add(&beside?);
    }
    system.stop()?;
    let report = Report {
        limit_per_minute: options.limit,
        flood: sent,
        p50_change_percent: change(&quiet, &flooded, 50.0),
        p99_change_percent: change(&quiet, &flooded, 99.0),
        quiet: row(&quiet),
        flooded: row(&flooded),
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", text(&report));
    }
    Ok(())
}

async fn workspace(system: &System, upstream: &Upstream) -> Result<Workspace> {
    let workspace = system.workspace().await?;
    let url = format!("http://{}", upstream.address);
    let dadl = paths::fixture("bench.dadl");
    system.enable_file(&workspace.slug, &dadl, "bench", &url, &[("token", "upstream-token")]).await?;
    system.offered_everywhere(&workspace, TOOL).await?;
    Ok(workspace)
}

/// Sets the limit as an admin does, and waits until the node goes by it.
async fn limit(system: &System, workspace: &Workspace, per_minute: u32) -> Result<()> {
    let console = system.console(&workspace.owner).await?;
    let page = format!("/w/{}/settings/endpoint", workspace.slug);
    let number = per_minute.to_string();
    console.submit(&page, &format!("{page}/limits"), &[("tenant_per_minute", &number)]).await?.ok()?;
    let target = target(system, workspace)?;
    eventually("the limit is in force", SOON * 4, || async {
        let tried = flood(&target, f64::from(per_minute), 4, Duration::from_secs(1)).await?;
        Ok((tried.refused > 0).then_some(()))
    })
    .await
}

fn target(system: &System, workspace: &Workspace) -> Result<Target> {
    let node = system.ready.nodes.first().context("toolmesh up started no node")?;
    let (arguments, key) = (r#"{"q":"is:open","limit":2}"#, Some(workspace.key.as_str()));
    Target::tool_call(&workspace.mcp_url, Some(node.http.parse()?), TOOL, arguments, key)
}

fn row(of: &Histogram) -> Row {
    let micros = |at: f64| u64::try_from(of.percentile(at).as_micros()).unwrap_or(u64::MAX);
    Row { calls: of.total(), p50_micros: micros(50.0), p99_micros: micros(99.0) }
}

fn change(quiet: &Histogram, flooded: &Histogram, at: f64) -> f64 {
    let (before, after) = (quiet.percentile(at).as_secs_f64(), flooded.percentile(at).as_secs_f64());
    if before > 0.0 { (after / before - 1.0) * 100.0 } else { 0.0 }
}

fn text(report: &Report) -> String {
    let line = |name: &str, row: &Row| {
        format!(
            "{name:<28}{:>8} calls   p50 {:>7} us   p99 {:>7} us\n",
            row.calls, row.p50_micros, row.p99_micros
        )
    };
    format!(
        "one workspace may send {} requests a minute and sends {:.0} a second: {} answered, {} refused\n{}{}change: p50 {:+.1} %, p99 {:+.1} %\n",
        report.limit_per_minute,
        report.flood.per_second(),
        report.flood.sent - report.flood.refused,
        report.flood.refused,
        line("the other, alone", &report.quiet),
        line("the other, beside the flood", &report.flooded),
        report.p50_change_percent,
        report.p99_change_percent,
    )
}
