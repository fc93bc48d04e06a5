//! Scenarios for clients whose client is a whole running system. The program that the suite starts for them only tells the test
//! where the suite's server is, and waits until the test has done with it what there was to do.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use toolmesh_tests::TestResult;

use crate::suite::{STEP, Suite};

/// In the environment of the suite and of what it starts: where the test waits, `ADDRESS:PORT`.
const DOOR: &str = "TOOLMESH_CONFORMANCE_DOOR";
/// How long the suite waits for its client, in milliseconds.
const PATIENCE: &str = "60000";

/// What the suite tells its client.
#[derive(Debug, Serialize, Deserialize)]
pub struct Played {
    /// Where its server is.
    pub url: String,
    /// What a client knows beforehand; null for nothing.
    pub context: Value,
}

/// Runs a scenario: `act` does with the suite's server what there is to do, and the suite judges that.
pub async fn driven<F>(scenario: &str, revision: &str, act: F) -> TestResult
where
    F: AsyncFnOnce(Played) -> TestResult,
{
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = door.local_addr()?.to_string();
    let program = std::env::current_exe()?;
    let command = format!("{} --ignored --exact driven::asked_by_the_suite", program.display());
    let args = [
        ["--command", &*command],
        ["--scenario", scenario],
        ["--spec-version", revision],
        ["--timeout", PATIENCE],
    ];
    let suite = Suite::with("client", args.as_flattened(), &[(DOOR, address.as_str())])?;
    let (played, client) = told(&door).await?;
    let acted = act(played).await;
    drop(client);
    let judged = suite.client_judged(scenario).await;
    acted.with_context(|| match &judged {
        Ok(()) => "the suite found nothing wrong".to_owned(),
        Err(error) => format!("{error:#}"),
    })?;
    judged
}

/// What the suite's client was told, and the line to it: when that is closed, it ends.
async fn told(door: &TcpListener) -> Result<(Played, BufReader<TcpStream>)> {
    let (client, _) =
        tokio::time::timeout(STEP, door.accept()).await.context("the suite started no client")??;
    let mut client = BufReader::new(client);
    let mut line = String::new();
    client.read_line(&mut line).await?;
    Ok((serde_json::from_str(&line)?, client))
}

#[tokio::test]
#[ignore = "the suite runs it, with the address of the server that it plays"]
async fn asked_by_the_suite() -> TestResult {
    let url = std::env::args().next_back().context("no address")?;
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_else(|_| "null".to_owned());
    let played = Played { url, context: serde_json::from_str(&context)? };
    let mut door = TcpStream::connect(std::env::var(DOOR)?).await?;
    door.write_all(format!("{}\n", serde_json::to_string(&played)?).as_bytes()).await?;
    door.read_to_end(&mut Vec::new()).await?;
    Ok(())
}
