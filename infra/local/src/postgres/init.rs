//! Makes a cluster with `initdb`: whole or not at all.

use std::path::Path;
use std::process::{Command, Stdio};

use secrecy::{ExposeSecret as _, SecretString};

use super::{Account, Binaries, OWNER, Place, PostgresError};
use crate::files;

/// Makes the cluster of `place`, whose owner gets `password`. A cluster that initdb did not finish lies beside it as
/// `postgres.new` and is removed at the next try.
///
/// # Errors
/// With initdb's own words, when it fails.
pub(super) async fn make_cluster(
    binaries: &Binaries,
    place: &Place,
    password: &SecretString,
    durable: bool,
) -> Result<(), PostgresError> {
    let account = place.account.as_ref();
    let unfinished = place.home.join("postgres.new");
    match std::fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(PostgresError::at(&unfinished)(error));
        }
        _ => {}
    }
    files::make_dir(&unfinished, 0o700).map_err(PostgresError::at(&unfinished))?;
    Account::own(account, &unfinished)?;

    // A file and not a pipe: after the change of user, initdb could not open ours.
    let password_file = place.run().join("initdb-password");
    files::write_private(&password_file, password.expose_secret().as_bytes())
        .map_err(PostgresError::at(&password_file))?;
    Account::own(account, &password_file)?;
    let made = run_initdb(binaries, account, &unfinished, &password_file, durable).await;
    files::remove_if_there(&password_file).map_err(PostgresError::at(&password_file))?;
    made?;

    let cluster = place.cluster();
    std::fs::rename(&unfinished, &cluster).map_err(PostgresError::at(cluster))
}

async fn run_initdb(
    binaries: &Binaries,
    account: Option<&Account>,
    cluster: &Path,
    password_file: &Path,
    durable: bool,
) -> Result<(), PostgresError> {
    let mut command = Command::new(binaries.program("initdb"));
    command.arg("-D").arg(cluster).args(["-U", OWNER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"]);
    if cfg!(target_os = "linux") {
        // Sorting stays by code point everywhere; with this, upper and lower case are known beyond ASCII.
        command.arg("--lc-ctype=C.UTF-8");
    }
    command.arg("--data-checksums").arg("--pwfile").arg(password_file);
    if !durable {
        command.arg("--no-sync");
    }
    // initdb insists on a current folder that it can read.
    command.current_dir("/").env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    Account::apply(account, &mut command);
    let mut command = tokio::process::Command::from(command);
    let path = binaries.program("initdb");
    let output = command.kill_on_drop(true).output().await.map_err(PostgresError::at(path))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(PostgresError::Initdb {
        cluster: cluster.to_owned(),
        output: String::from_utf8_lossy(&text).lines().map(|line| format!("  {line}\n")).collect(),
    })
}
