//! `toolmesh-control-plane`: serves, or with `migrate` only brings the database up to date; `routes` says what it would serve.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use toolmesh_control_plane::ControlPlane;
use toolmesh_control_plane::config::{Config, log_settings};
use toolmesh_control_plane::db::Db;
use tracing_subscriber::EnvFilter;

/// The control plane of ToolMesh. Everything is set by the environment; see the README.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Bring the database to this version's schema, and stop.
    Migrate,
    /// Show every route that is served, one to a line, and stop.
    Routes,
}

/// What a shell shows for wrong configuration (`EX_USAGE` of sysexits.h).
const WRONG_CONFIGURATION: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let migrate = match arguments.command {
        // Told from the code alone, without a setting or a database.
        Some(Command::Routes) => {
            toolmesh_control_plane::routes().iter().for_each(|route| println!("{route}"));
            return ExitCode::SUCCESS;
        }
        Some(Command::Migrate) => true,
        None => false,
    };
    start_log();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::warn!("a TLS provider was installed already");
    }
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("toolmesh-control-plane: {error}");
            return ExitCode::from(WRONG_CONFIGURATION);
        }
    };
    let result = if migrate {
        Db::migrate(&config.database_url).await.map_err(anyhow::Error::from)
    } else {
        run(config).await
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("toolmesh-control-plane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let plane = ControlPlane::start(config).await?;
    // Whoever started this process waits for this line.
    println!("ready {}", serde_json::json!({ "http": plane.http, "grpc": plane.grpc }));
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    tracing::info!("stopping");
    plane.shut_down().await;
    Ok(())
}

fn start_log() {
    let (filter, json) = log_settings();
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    if json { builder.json().init() } else { builder.init() }
}
