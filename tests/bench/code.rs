//! `bench code`: what code mode costs. How many tokens of a model's context a large workspace takes, how fast a tool is found
//! among many, and how soon code runs.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tiktoken_rs::o200k_base_singleton;
use toolmesh_data_plane::execute::code::{
    Answering, Api, Budget, CODE_WITHIN, Given, Program, Returned, Sandbox, Thrown,
};
use toolmesh_proto::ids::TenantId;
use toolmesh_tests::system::Options;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Answer, Mcp, System, Workspace, eventually, paths};

use crate::Code;
use crate::histogram::Histogram;

/// Tools of one made-up connector.
const TOOLS_EACH: usize = 1000;
/// Connectors of the workspace whose context is counted, and of the one that is searched.
const CONTEXT_CONNECTORS: usize = 3;
const SEARCH_CONNECTORS: usize = 10;

/// What a model asks for.
const QUERIES: [&str; 8] = [
    "create an invoice",
    "list open orders of a customer",
    "delete webhook",
    "update shipping address",
    "who is on call",
    "search products by name",
    "refund payment",
    "archive the project of a team",
];

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    context: Context,
    discovery: Latency,
    /// The sandbox alone, from nothing to the value of an expression.
    sandbox: Latency,
    start_up: Latency,
    /// The same request without a run: what of the above is the way there and back.
    ping: Latency,
}

#[derive(Debug, Serialize)]
struct Context {
    tools: usize,
    /// Instructions and the list of tools, as a client gets them.
    tokens: usize,
    /// The same with all tools of one connector in the list.
    tokens_with_1000_in_the_list: usize,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50_micros: u128,
    p99_micros: u128,
}

impl Latency {
    fn of(latencies: &Histogram) -> Self {
        let micros = |percent| latencies.percentile(percent).as_micros();
        Self { p50_micros: micros(50.0), p99_micros: micros(99.0) }
    }
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When something does not start, or any call fails.
pub async fn run(options: &Code) -> Result<()> {
    let folder = paths::scratch("toolmesh-bench-")?;
    let system = System::start(Options { nodes: 1, envs: crate::unlimited(), ..Options::default() }).await?;
    let context = context(&system, folder.path()).await?;
    let (workspace, mcp) = workspace(&system, folder.path(), SEARCH_CONNECTORS).await?;
    let rounds = usize::try_from(options.rounds)?;
    let discovery = measure(rounds, |round| {
        let query = QUERIES[round % QUERIES.len()];
        mcp.call("discover_tools", json!({ "query": query }))
    })
    .await
    .context("discover_tools")?;
    let start_up = measure(rounds, |_| mcp.call("execute_code", json!({ "code": "6 * 7" })))
        .await
        .context("execute_code")?;
    let ping = measure(rounds, |_| mcp.request("ping", json!({}))).await?;
    let sandbox = sandbox(rounds).await?;
    let report = Report { context, discovery, sandbox, start_up, ping };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table(&report, &workspace)?);
    }
    system.stop()
}

async fn measure<F>(rounds: usize, ask: impl Fn(usize) -> F) -> Result<Latency>
where
    F: Future<Output = Result<Answer>>,
{
    let mut latencies = Histogram::default();
    for round in 0..rounds + rounds / 10 {
        let start = Instant::now();
        let answer = ask(round).await?;
        let took = start.elapsed();
        ensure!(answer.refusal()?.is_none(), "refused: {}", answer.body);
        // The first tenth warms up.
        if round >= rounds / 10 {
            latencies.add(took);
        }
    }
    Ok(Latency::of(&latencies))
}

/// Code without tools, in this process.
async fn sandbox(rounds: usize) -> Result<Latency> {
    let (sandbox, tenant, mut latencies) = (Sandbox::default(), TenantId::new(), Histogram::default());
    for round in 0..rounds + rounds / 10 {
        let program = Program { source: "6 * 7".to_owned(), given: Given::Tools, within: CODE_WITHIN };
        let start = Instant::now();
        let finished = sandbox.room(tenant)?.run(program, Arc::new(NoTools), Budget::default()).await;
        let took = start.elapsed();
        ensure!(finished.result == Ok(Returned(Some("42".to_owned()))), "{:?}", finished.result);
        // The first tenth warms up.
        if round >= rounds / 10 {
            latencies.add(took);
        }
    }
    Ok(Latency::of(&latencies))
}

struct NoTools;

impl Api for NoTools {
    fn names(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn namespace(&self, name: &str) -> Result<(), String> {
        Err(format!("there is no {name}"))
    }

    fn find(&self, _: &str, tool: &str) -> Result<u32, String> {
        Err(format!("there is no {tool}"))
    }

    fn spelled(&self, _: u32) -> String {
        String::new()
    }

    fn call(&self, _: u32, _: Map<String, Value>) -> Answering {
        Box::pin(async { Err(Thrown::new("not_found", "there are no tools")) })
    }
}

async fn context(system: &System, folder: &Path) -> Result<Context> {
    let (workspace, mcp) = workspace(system, folder, CONTEXT_CONNECTORS).await?;
    let tokens = tokens(&mcp).await?;
    let console = system.console(&workspace.owner).await?;
    let list = console.get(&format!("/w/{}/connectors", workspace.slug)).await?;
    let id = first_installation(&list.body, &workspace.slug).context("no connector in the list")?;
    let page = format!("/w/{}/connectors/{id}", workspace.slug);
    console.submit(&page, &format!("{page}/exposure"), &[("exposure", "direct")]).await?.ok()?;
    eventually("the tools stand in the list", SOON, || async {
        Ok((mcp.tools().await?.len() > TOOLS_EACH).then_some(()))
    })
    .await?;
    let tokens_with_1000_in_the_list = self::tokens(&mcp).await?;
    Ok(Context { tools: CONTEXT_CONNECTORS * TOOLS_EACH, tokens, tokens_with_1000_in_the_list })
}

fn first_installation<'a>(html: &'a str, slug: &str) -> Option<&'a str> {
    let (_, rest) = html.split_once(&format!("/w/{slug}/connectors/"))?;
    rest.get(..36)
}

/// What a client puts before its model: the server's instructions, and of each tool its name, description and schema.
async fn tokens(mcp: &Mcp) -> Result<usize> {
    let hello = mcp.initialize("2025-11-25").await?.json()?;
    let mut text = hello["result"]["instructions"].as_str().unwrap_or_default().to_owned();
    for tool in mcp.tools().await? {
        let shown = json!({
            "name": tool["name"], "description": tool["description"], "parameters": tool["inputSchema"]
        });
        write!(text, "\n{shown}")?;
    }
    Ok(o200k_base_singleton().count_ordinary(&text))
}

/// A workspace with made-up connectors.
async fn workspace(system: &System, folder: &Path, connectors: usize) -> Result<(Workspace, Mcp)> {
    let workspace = system.workspace().await?;
    for number in 0..connectors {
        let path = folder.join(format!("made-up-{number}.dadl"));
        std::fs::write(&path, made_up(number))?;
        let name = format!("made-up-{number}");
        system.enable_file(&workspace.slug, &path, &name, "http://127.0.0.1:9", &[]).await?;
    }
    let node = system.ready.nodes.first().context("toolmesh up started no node")?;
    let mcp = system.mcp_on(&node.http, &workspace, &workspace.key);
    let last = format!("made_up_{}", connectors - 1);
    eventually("the node has all tools", SOON, || async {
        let asked = json!({ "namespace": last, "limit": 1 });
        let answer = mcp.call("discover_tools", asked).await?.text().unwrap_or_default();
        Ok(answer.contains(&format!("{TOOLS_EACH} tools")).then_some(()))
    })
    .await?;
    Ok((workspace, mcp))
}

/// A connector as large ones are: verbs over many kinds of things, with parameters that are described.
fn made_up(number: usize) -> String {
    const VERBS: [(&str, &str, &str, &str); 8] = [
        ("list", "GET", "read", "Lists"),
        ("get", "GET", "read", "Reads one of"),
        ("search", "GET", "read", "Searches in"),
        ("create", "POST", "write", "Makes a new one of"),
        ("update", "PATCH", "write", "Changes one of"),
        ("archive", "POST", "write", "Puts away one of"),
        ("delete", "DELETE", "dangerous", "Deletes one of"),
        ("export", "GET", "read", "Gives out as a file"),
    ];
    const THINGS: [&str; 25] = [
        "invoice",
        "order",
        "customer",
        "webhook",
        "address",
        "product",
        "payment",
        "refund",
        "project",
        "team",
        "ticket",
        "schedule",
        "incident",
        "report",
        "contract",
        "employee",
        "vehicle",
        "warehouse",
        "shipment",
        "subscription",
        "coupon",
        "message",
        "campaign",
        "contact",
        "document",
    ];
    const PARTS: [&str; 5] = ["item", "note", "tag", "label", "event"];
    let mut text = format!(
        "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nsource_name: Made up {number}\nbackend:\n  name: made-up-{number}\n  type: rest\n  \
         description: Made up for the benchmark.\n  base_url: https://made-up.example\n  auth: {{ type: none }}\n  tools:\n"
    );
    let things = THINGS.iter().flat_map(|thing| PARTS.iter().map(move |part| (thing, part)));
    let tools = things.flat_map(|thing| VERBS.iter().map(move |verb| (thing, verb)));
    for ((thing, part), (verb, method, access, says)) in tools.take(TOOLS_EACH) {
        text.push_str(&format!(
            "    {verb}_{thing}_{part}:\n      method: {method}\n      path: /v{number}/{thing}/{{id}}/{part}/{verb}\n      access: {access}\n      \
             description: {says} the {part}s of a {thing}, with its state and who changed it last.\n      params:\n        id: {{ type: \
             string, in: path, required: true, description: The {thing} }}\n        state: {{ type: string, in: query, description: Only \
             those in this state }}\n        limit: {{ type: integer, in: query, default: 20, description: Most {part}s of an answer \
             }}\n"
        ));
    }
    text
}

fn table(report: &Report, workspace: &Workspace) -> Result<String> {
    let ms = |micros: u128| format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10);
    let mut out = String::new();
    let Report { context, discovery, sandbox, start_up, ping } = report;
    writeln!(
        out,
        "context of a workspace with {} tools     {:>8} tokens (o200k_base)",
        context.tools, context.tokens
    )?;
    writeln!(
        out,
        "the same with 1,000 of them in the list  {:>8} tokens",
        context.tokens_with_1000_in_the_list
    )?;
    for (name, latency) in [
        (format!("discover_tools over {} tools", SEARCH_CONNECTORS * TOOLS_EACH), discovery),
        ("the sandbox alone, from start to value".to_owned(), sandbox),
        ("execute_code, from request to answer".to_owned(), start_up),
        ("ping, from request to answer".to_owned(), ping),
    ] {
        writeln!(out, "{name:<40} {:>10} p50 {:>10} p99", ms(latency.p50_micros), ms(latency.p99_micros))?;
    }
    writeln!(out, "workspace {}", workspace.slug)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_connector_has_as_many_tools_as_it_says_and_is_not_too_long() {
        let text = made_up(3);
        assert_eq!(text.matches("      method: ").count(), TOOLS_EACH);
        assert!(text.len() < 1 << 20);
    }
}
