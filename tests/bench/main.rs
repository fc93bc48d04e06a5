//! Benchmarks: how much a call costs on its way through a node, beside a bare reverse proxy that is loaded the same way; and
//! what a REST call costs beside the same made directly; how long it takes until nobody serves who was shut out, what code mode
//! costs, how long it takes until a large OpenAPI document is a connector, and what a workspace feels of another that asks too
//! often.
//!
//! `cargo run --release -p toolmesh-tests --bin bench -- call --seconds 5`

mod call;
mod code;
mod fair;
mod histogram;
mod import;
mod load;
mod mcp;
mod memory;
mod proxy;
mod report;
mod rest;
mod revoke;
mod servers;
mod upstream;

use std::net::SocketAddr;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

#[derive(Parser, Debug)]
#[command(name = "bench", about)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Load one tool call, over and over
    Call(Call),
    /// REST calls through a node, beside the same made directly
    Rest(Rest),
    /// Calls of a tool of another MCP server, asked directly, through the bare proxy and through a node
    Upstream(Upstream),
    /// What code mode costs: tokens of context, time to find a tool, time to run code
    Code(Code),
    /// Let one workspace ask fifty times as often as it may, and measure another
    Fair(Fair),
    /// Take a grant back, over and over, and wait until every node refuses its token
    Revoke(Revoke),
    /// Make a connector from a large OpenAPI document
    Import(Import),
    /// The yardstick: a reverse proxy that does nothing else. Started by the benchmark itself
    #[command(hide = true)]
    Proxy {
        #[arg(long)]
        upstream: SocketAddr,
    },
}

/// What to load and for how long.
#[derive(Args, Debug)]
struct Call {
    /// Seconds of measurement for each row; a second of warming up comes before
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Numbers of connections, one row each; a connection has one request under way at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    connections: Vec<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Load this MCP endpoint instead of a node of our own
    #[arg(long, requires = "tool")]
    url: Option<String>,
    /// The tool to call there
    #[arg(long, requires = "url")]
    tool: Option<String>,
    /// Its arguments, a JSON object
    #[arg(long, default_value = "{}", requires = "url")]
    arguments: String,
    /// Bearer token or API key for it
    #[arg(long, requires = "url")]
    token: Option<String>,
}

/// How to load REST calls.
#[derive(Args, Debug)]
struct Rest {
    /// Seconds of measurement for each row; a second of warming up comes before
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Numbers of connections; a connection has one request under way at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    connections: Vec<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How to load calls of another MCP server's tool.
#[derive(Args, Debug)]
struct Upstream {
    /// Seconds of measurement for each row; a second of warming up comes before
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Numbers of connections; a connection has one request under way at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    connections: Vec<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Which era of the protocol server and client speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Era {
    /// 2026-07-28
    Modern,
    /// 2025-11-25
    Legacy,
}

impl Era {
    const fn title(self) -> &'static str {
        match self {
            Self::Modern => "2026-07-28",
            Self::Legacy => "2025-11-25",
        }
    }
}

/// How often to ask.
#[derive(Args, Debug)]
struct Code {
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    rounds: u64,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How much one may ask, and how long to measure.
#[derive(Args, Debug)]
struct Fair {
    /// Requests per minute that the one workspace may send; it sends fifty times as many
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Connections of the one
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Seconds of each turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Turns, each quiet and then flooded
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Print one JSON object instead of sentences
    #[arg(long)]
    json: bool,
}

/// Without the operator's limits, which a benchmark would reach at once.
fn unlimited() -> Vec<(String, String)> {
    ["TENANT", "CALLER", "API_KEY"]
        .map(|whose| (format!("TOOLMESH_{whose}_REQUESTS_PER_MINUTE"), "0".to_owned()))
        .into()
}

/// How often to take something back, from how many nodes.
#[derive(Args, Debug)]
struct Revoke {
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=16))]
    nodes: u32,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How often to read the document.
#[derive(Args, Debug)]
struct Import {
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Print one JSON object instead of a sentence
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().what {
        What::Call(options) => call::run(&options).await,
        What::Rest(options) => rest::run(&options).await,
        What::Upstream(options) => upstream::run(&options).await,
        What::Code(options) => code::run(&options).await,
        What::Fair(options) => fair::run(&options).await,
        What::Revoke(options) => revoke::run(&options).await,
        What::Import(options) => import::run(&options),
        What::Proxy { upstream } => servers::run_proxy(upstream).await,
    }
}
