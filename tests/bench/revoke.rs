//! `bench revoke`: how long somebody who was shut out is still served, on the slowest node.
//!
//! Measured from the moment at which the revocation is sent, so the request, its commit, the push and the refusal are all in
//! it. Beside it, in the same rounds, what the two ends of it cost by themselves: the answer to the revocation, and a refusal.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use toolmesh_tests::oauth::{Pkce, REDIRECT, Server, Tokens, parameter};
use toolmesh_tests::system::Options;
use toolmesh_tests::{Console, Mcp, System, Workspace};

use crate::Revoke;

/// A node that goes on serving for this long has not heard of it.
const GIVE_UP: Duration = Duration::from_secs(30);

/// Between two questions to a node that still serves.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Debug, Serialize)]
struct Row {
    p50_millis: f64,
    p99_millis: f64,
    max_millis: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    rounds: usize,
    nodes: u32,
    /// From sending the revocation until every node refuses.
    refused_everywhere: Row,
    /// From the answer to the revocation until every node refuses; 0 where they did before.
    after_the_answer: Row,
    /// From sending the revocation to its answer.
    answer: Row,
    /// One request that is refused.
    refusal: Row,
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When something does not start, or a node never refuses.
pub async fn run(options: &Revoke) -> Result<()> {
    let system =
        System::start(Options { nodes: options.nodes, envs: crate::unlimited(), ..Options::default() })
            .await?;
    let workspace = system.workspace().await?;
    let client = Client::new(&system, &workspace).await?;
    let mut rounds = Vec::new();
    // The first one warms connections up and is not counted.
    for round in 0..=options.rounds {
        let measured = client.round(&system, &workspace).await.with_context(|| format!("round {round}"))?;
        if round > 0 {
            rounds.push(measured);
        }
    }
    system.stop()?;
    let report = Report {
        rounds: rounds.len(),
        nodes: options.nodes,
        refused_everywhere: Row::of(&rounds, |round| round.refused),
        after_the_answer: Row::of(&rounds, |round| round.refused.saturating_sub(round.answered)),
        answer: Row::of(&rounds, |round| round.answered),
        refusal: Row::of(&rounds, |round| round.refusal),
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

struct Round {
    answered: Duration,
    refused: Duration,
    refusal: Duration,
}

/// A client that is let in and gives back what it got, over and over.
struct Client {
    server: Server,
    console: Console,
    id: String,
}

impl Client {
    async fn new(system: &System, workspace: &Workspace) -> Result<Self> {
        let server = system.oauth(workspace).await?;
        let console = system.console(&workspace.owner).await?;
        let id = server.client(REDIRECT).await?;
        Ok(Self { server, console, id })
    }

    async fn tokens(&self) -> Result<Tokens> {
        let pkce = Pkce::new();
        let query = self.server.query(&self.id, REDIRECT, &pkce);
        let back = self.server.consent(&self.console, &query, "allow").await?;
        let code = parameter(&back, "code").with_context(|| format!("no code in {back}"))?;
        Tokens::of(
            &self.id,
            &self.server.token(&self.server.code_form(&self.id, REDIRECT, &code, &pkce)).await?,
        )
    }

    async fn round(&self, system: &System, workspace: &Workspace) -> Result<Round> {
        let tokens = self.tokens().await?;
        let nodes: Vec<Mcp> = system
            .ready
            .nodes
            .iter()
            .map(|node| system.mcp_on(&node.http, workspace, &tokens.access))
            .collect();
        for node in &nodes {
            let answer = node.request("ping", json!({})).await?;
            ensure!(answer.status == StatusCode::OK, "refused before it was revoked: {}", answer.status);
        }
        let form = [("token", tokens.refresh.as_str()), ("client_id", tokens.client_id.as_str())];
        let request = system.http.post(self.server.endpoint("revocation_endpoint")?).form(&form);
        let start = Instant::now();
        let revoke = async {
            let answer = request.send().await?;
            ensure!(answer.status() == StatusCode::OK, "the revocation got {}", answer.status());
            anyhow::Ok(start.elapsed())
        };
        let watch = futures_util::future::try_join_all(nodes.iter().map(|node| refused(node, start)));
        let (answered, refused) = tokio::try_join!(revoke, watch)?;
        let before = Instant::now();
        nodes.first().context("no node")?.request("ping", json!({})).await?;
        let refusal = before.elapsed();
        Ok(Round { answered, refused: refused.into_iter().max().unwrap_or_default(), refusal })
    }
}

async fn refused(node: &Mcp, start: Instant) -> Result<Duration> {
    loop {
        let answer = node.request("ping", json!({})).await?;
        let took = start.elapsed();
        if answer.status == StatusCode::UNAUTHORIZED {
            return Ok(took);
        }
        ensure!(took < GIVE_UP, "still {} after {took:?}", answer.status);
        tokio::time::sleep(PAUSE).await;
    }
}

impl Row {
    fn of(rounds: &[Round], value: impl Fn(&Round) -> Duration) -> Self {
        let mut values: Vec<f64> = rounds.iter().map(|round| value(round).as_secs_f64() * 1e3).collect();
        values.sort_by(f64::total_cmp);
        // Nearest rank: of a hundred rounds, p99 is the second slowest.
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).max(1);
            values.get(rank - 1).copied().unwrap_or_default()
        };
        Self { p50_millis: at(50), p99_millis: at(99), max_millis: at(100) }
    }
}

impl Report {
    fn table(&self) -> String {
        let mut out = format!(
            "{} rounds, {} nodes\n{:<44} {:>10} {:>10} {:>10}\n",
            self.rounds, self.nodes, "", "p50", "p99", "max"
        );
        for (name, row) in [
            ("revocation sent until every node refuses", &self.refused_everywhere),
            ("revocation answered until every node refuses", &self.after_the_answer),
            ("yardstick: the revocation's answer alone", &self.answer),
            ("yardstick: one refusal alone", &self.refusal),
        ] {
            out.push_str(&format!(
                "{name:<44} {:>7.1} ms {:>7.1} ms {:>7.1} ms\n",
                row.p50_millis, row.p99_millis, row.max_millis
            ));
        }
        out
    }
}
