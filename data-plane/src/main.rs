//! The process around a node: configuration, logs, signals, exit codes.

use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use toolmesh_data_plane::{Config, LogConfig, Node};
use tracing_subscriber::EnvFilter;

/// Exit code for a configuration that cannot be used (`EX_USAGE`).
const USAGE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let (log, config) = match LogConfig::from_env().and_then(|log| Ok((log, Config::from_env()?))) {
        Ok(read) => read,
        Err(error) => return fail(USAGE, &error.to_string()),
    };
    let Ok(filter) = EnvFilter::try_new(&log.filter) else {
        return fail(USAGE, "TOOLMESH_LOG is wrong: write it as info or toolmesh_data_plane=debug,info");
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if log.json {
        builder.json().init();
    } else {
        builder.with_ansi(false).init();
    }
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    // Listening for signals comes first, so that none is missed while starting.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let address = config.http_listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {address}: {error}"))?;
    let node = Node::start(config, listener).await?;
    let stopped = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let ready = async {
        node.ready().await;
        announce(&node.local_addr.to_string());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stopped => {}
        () = ready => {}
    }
    tracing::info!("stopping");
    node.shutdown().await;
    Ok(())
}

/// The one line on standard output, for whoever started the process.
fn announce(http: &str) {
    use std::io::Write as _;
    let line = format!("ready {}\n", serde_json::json!({ "http": http }));
    let mut out = std::io::stdout().lock();
    // A parent that does not listen is no reason to stop.
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        tracing::warn!("ready line not written");
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    use std::io::Write as _;
    // With standard error gone there is nowhere to say it.
    let _ = writeln!(std::io::stderr(), "toolmesh-data-plane: {message}");
    ExitCode::from(code)
}
