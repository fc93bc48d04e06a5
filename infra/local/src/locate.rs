//! Finds the installation that `toolmesh admin` works on: by a data folder, or by the environment of a production set-up.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::config::Environment;
use crate::ready::Ready;
use crate::secrets::Secrets;

/// The folder that is meant when nothing is said.
pub const DEFAULT_DATA: &str = "./data";

/// All that a control plane needs to work on an installation's data. No `Debug`: it holds secrets.
pub struct Installation {
    pub database_url: SecretString,
    pub kek_file: PathBuf,
    pub join_secret_file: PathBuf,
    /// Origin of the console, no trailing slash.
    pub console_url: String,
    /// Pattern of the workspaces' origins, with `{slug}`.
    pub tenant_url: String,
}

/// Why no installation was found.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    #[error("ToolMesh is not running on {}. Start it with infra/up, name its folder with --data, or set DATABASE_URL.", .0.display())]
    NotRunning(PathBuf),
    #[error("DATABASE_URL is set, and then {0} must be set too, as it is for the control plane.")]
    Unset(&'static str),
}

impl Installation {
    /// `--data` if given, else `DATABASE_URL` if set, else `./data`.
    ///
    /// # Errors
    /// When nothing runs there, or the environment is incomplete.
    pub fn locate(data: Option<&Path>, env: &Environment) -> Result<Self, LocateError> {
        match (data, &env.database_url) {
            (Some(data), _) => Self::of_folder(data),
            (None, Some(url)) => Self::of_environment(url, env),
            (None, None) => Self::of_folder(Path::new(DEFAULT_DATA)),
        }
    }

    fn of_folder(data: &Path) -> Result<Self, LocateError> {
        let ready = Ready::read(data).ok_or_else(|| LocateError::NotRunning(data.to_owned()))?;
        let secrets = Secrets::at(data.join("secrets"));
        Ok(Self {
            database_url: SecretString::from(ready.database_url),
            kek_file: secrets.kek_file(),
            join_secret_file: secrets.join_secret_file(),
            console_url: ready.console_url,
            tenant_url: ready.tenant_url,
        })
    }

    fn of_environment(url: &SecretString, env: &Environment) -> Result<Self, LocateError> {
        Ok(Self {
            database_url: url.clone(),
            kek_file: env.kek_file.clone().ok_or(LocateError::Unset("TOOLMESH_KEK_FILE"))?,
            join_secret_file: env
                .join_secret_file
                .clone()
                .ok_or(LocateError::Unset("TOOLMESH_JOIN_SECRET_FILE"))?,
            console_url: env.console_url.clone().ok_or(LocateError::Unset("TOOLMESH_CONSOLE_URL"))?,
            tenant_url: env.tenant_url.clone().ok_or(LocateError::Unset("TOOLMESH_TENANT_URL"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_on_which_nothing_runs_is_named_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let error =
            Installation::locate(Some(dir.path()), &Environment::default()).err().unwrap().to_string();
        assert!(error.contains("not running") && error.contains("infra/up"), "{error}");
    }

    #[test]
    fn a_database_url_alone_is_not_enough() {
        let env = Environment { database_url: Some("postgres://x".into()), ..Environment::default() };
        let error = Installation::locate(None, &env).err().unwrap().to_string();
        assert!(error.contains("TOOLMESH_KEK_FILE"), "{error}");
    }
}
