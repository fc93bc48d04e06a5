//! The secrets of one installation, each a file that only its owner reads. Made once, with randomness of the operating
//! system; a secret that is lost is never made anew, since what it protects would be lost silently with it.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::SecretString;

use crate::files;

/// The files under `secrets/`.
#[derive(Clone, Debug)]
pub struct Secrets {
    dir: PathBuf,
}

/// What is wrong with a secret's file.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "{} is missing, but the data beside it was made with it. Bring it back from a backup; without it that data \
         cannot be read. To start afresh, use another folder with --data.", .0.display()
    )]
    Missing(PathBuf),
    #[error("{} is empty. Bring it back from a backup, or start afresh in another folder with --data.", .0.display())]
    Empty(PathBuf),
    #[error("cannot use {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the operating system gives no random numbers: {0}")]
    Randomness(String),
}

impl Secrets {
    /// Checks the secrets of a folder that is in use already, or makes them for a new one.
    ///
    /// # Errors
    /// When one is missing from a folder in use, or cannot be read or written.
    pub fn open(dir: PathBuf, in_use: bool) -> Result<Self, SecretError> {
        files::make_dir(&dir, 0o700).map_err(|source| SecretError::Io { path: dir.clone(), source })?;
        let secrets = Self { dir };
        for (path, make) in [
            (secrets.pg_password_file(), random_hex::<24> as fn() -> Result<String, SecretError>),
            (secrets.kek_file(), random_base64::<32>),
            (secrets.join_secret_file(), random_hex::<32>),
        ] {
            check_or_make(&path, in_use, make)?;
        }
        Ok(secrets)
    }

    /// The secrets of a folder, unchecked: for a reader beside a running installation.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Password of the database's owner.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pg_password(&self) -> Result<SecretString, SecretError> {
        let path = self.pg_password_file();
        let text = std::fs::read_to_string(&path).map_err(|source| SecretError::Io { path, source })?;
        Ok(SecretString::from(text.trim().to_owned()))
    }

    /// The key-encryption key: base64 of 32 bytes.
    #[must_use]
    pub fn kek_file(&self) -> PathBuf {
        self.dir.join("kek")
    }

    /// What a node must know to join.
    #[must_use]
    pub fn join_secret_file(&self) -> PathBuf {
        self.dir.join("join_secret")
    }

    fn pg_password_file(&self) -> PathBuf {
        self.dir.join("pg_password")
    }
}

fn check_or_make(
    path: &Path,
    in_use: bool,
    make: fn() -> Result<String, SecretError>,
) -> Result<(), SecretError> {
    let io_error = |source| SecretError::Io { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > 0 => Ok(()),
        Ok(_) => Err(SecretError::Empty(path.to_owned())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(error)),
        Err(_) if in_use => Err(SecretError::Missing(path.to_owned())),
        Err(_) => files::write_private(path, make()?.as_bytes()).map_err(io_error),
    }
}

/// `N` random bytes as lower-case hex.
pub(crate) fn random_hex<const N: usize>() -> Result<String, SecretError> {
    Ok(toolmesh_proto::hex(&random::<N>()?))
}

fn random_base64<const N: usize>() -> Result<String, SecretError> {
    Ok(base64::engine::general_purpose::STANDARD.encode(random::<N>()?))
}

fn random<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| SecretError::Randomness(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_only_their_owner_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("secrets");
        let secrets = Secrets::open(place.clone(), false).unwrap();
        let kek = std::fs::read_to_string(secrets.kek_file()).unwrap();
        assert_eq!(base64::engine::general_purpose::STANDARD.decode(&kek).unwrap().len(), 32);
        assert!(std::fs::read_to_string(secrets.join_secret_file()).unwrap().len() >= 32);
        assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::metadata(secrets.kek_file()).unwrap().permissions().mode() & 0o777, 0o600);

        Secrets::open(place, true).unwrap();
        assert_eq!(std::fs::read_to_string(secrets.kek_file()).unwrap(), kek, "a second start keeps the key");
    }

    #[test]
    fn a_lost_key_is_named_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(dir.path().to_owned(), false).unwrap();
        std::fs::remove_file(secrets.kek_file()).unwrap();
        let error = Secrets::open(dir.path().to_owned(), true).unwrap_err().to_string();
        assert!(error.contains("kek") && error.contains("backup"), "{error}");
        assert!(!secrets.kek_file().exists());

        std::fs::write(secrets.kek_file(), "").unwrap();
        let error = Secrets::open(dir.path().to_owned(), true).unwrap_err().to_string();
        assert!(error.contains("empty"), "{error}");
    }
}
