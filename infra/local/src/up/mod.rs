//! `toolmesh up`: brings the parts up in order, keeps them running, stops them in order.
//!
//! Knows the parts and what each needs to be told; how a part is started, watched and stopped is its own module's.

mod signals;
mod system;

use crate::cli::UpArgs;
use crate::config::Environment;
use crate::data_dir::DataDirError;
use crate::edge::BindError;
use crate::origins::{Origins, PublicUrlError};
use crate::plane::PlaneError;
use crate::postgres::PostgresError;
use crate::secrets::SecretError;
use crate::steps::Steps;
use signals::Signals;
use system::System;

/// Why it does not run; each is a sentence for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    #[error(transparent)]
    PublicUrl(#[from] PublicUrlError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Plane(#[from] PlaneError),
    #[error("cannot set up the mailbox: {0}")]
    Mailbox(std::io::Error),
    #[error("cannot write ready.json in the data folder: {0}")]
    Ready(std::io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error("cannot tell where this program lies, and so not where the planes' programs are")]
    NoProgramDir,
}

/// Runs everything until Ctrl-C, SIGTERM or the end of a part.
///
/// # Errors
/// When a part cannot be started or ends by itself. Whatever was started has been stopped by then.
pub async fn run(args: UpArgs, env: Environment) -> Result<(), UpError> {
    let public = args.public_url.as_deref().map(Origins::public).transpose()?;
    let signals = Signals::listen().map_err(UpError::Signals)?;
    let steps = Steps::new();
    let opening = format!("Opening the data folder {}", args.data.display());
    let mut system = steps.run(&opening, System::open(&args.data)).await?;

    let outcome = tokio::select! {
        outcome = run_until_failure(&mut system, &args, &env, public, &steps) => outcome,
        () = signals.stop.cancelled() => Ok(()),
    };
    steps.line("");
    system.stop(&signals.now, &steps).await;
    outcome
}

/// Comes back with an error only: as long as all is well, it does not come back.
async fn run_until_failure(
    system: &mut System,
    args: &UpArgs,
    env: &Environment,
    public: Option<Origins>,
    steps: &Steps,
) -> Result<(), UpError> {
    let summary = system.start(args, env, public, steps).await?;
    steps.line("");
    for line in summary {
        steps.line(&line);
    }
    Err(system.failed().await)
}

#[cfg(test)]
mod tests;
