//! The command `toolmesh`: reads the command line, hands over, and turns the outcome into an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use toolmesh_local::cli::{Cli, Command, LogFormat, UpArgs};
use toolmesh_local::config::Environment;
use toolmesh_local::{connector, operate, up};
use tracing_subscriber::EnvFilter;

/// What the shell sees when the command line or a setting is wrong (`EX_USAGE`).
const EXIT_USAGE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return fail("the TLS library was set up twice");
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // Nothing can be done about a terminal that is gone.
            let _ = error.print();
            return ExitCode::from(if wrong { EXIT_USAGE } else { 0 });
        }
    };
    match cli.command {
        Command::Up(args) => run_up(args).await,
        Command::Admin(args) => match operate::run(args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("{error:#}")),
        },
        Command::Connector(args) => match connector::run(args).await {
            Ok(printed) => {
                let _ = write!(std::io::stdout(), "{}", printed.text);
                if printed.good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => fail(&format!("{error:#}")),
        },
        Command::Version => {
            let _ = writeln!(std::io::stdout(), "toolmesh {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
    }
}

async fn run_up(args: UpArgs) -> ExitCode {
    let env = Environment::read();
    // The planes log to files of their own; here only what somebody at the terminal must know.
    let filter = match EnvFilter::try_new(env.log.as_deref().unwrap_or("warn")) {
        Ok(filter) => filter,
        Err(error) => {
            fail(&format!("TOOLMESH_LOG is wrong: {error}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => logs.json().init(),
        LogFormat::Text => logs.init(),
    }
    match up::run(args, env).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(sentence: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{sentence}");
    ExitCode::FAILURE
}
