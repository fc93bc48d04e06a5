//! The folder that holds everything an installation keeps: its layout, its format's number, and the lock that makes one
//! `toolmesh up` its only user. Knows paths, not what the files mean.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::files;

/// Number of the folder's format. A program refuses a folder with a higher one.
pub const FORMAT: u32 = 1;

/// A data folder that this process has locked.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    in_use: bool,
    /// Held for its lock, which the operating system gives back when this process ends, however it ends.
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error(
        "{} was made by a newer version of ToolMesh (data format {found}, this one knows {FORMAT}). Update ToolMesh, or \
         use another folder with --data.", root.display()
    )]
    Newer { root: PathBuf, found: u32 },
    #[error("{} does not hold a number. Bring it back from a backup, or use another folder with --data.", .0.display())]
    BadVersion(PathBuf),
    #[error(
        "{} is already in use by another `toolmesh up` (process {pid}). Stop that one, or use another folder with --data.",
        root.display()
    )]
    Locked { root: PathBuf, pid: String },
    #[error("{} is not empty and is no data folder of ToolMesh. Name an empty or a new folder with --data.", .0.display())]
    Foreign(PathBuf),
    #[error("cannot use the data folder {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl DataDir {
    /// Makes the folder if need be, checks its format and locks it.
    ///
    /// # Errors
    /// Each reason not to use the folder is a sentence with the way out.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let at = |source| DataDirError::Io { path: path.to_owned(), source };
        // Others may pass through, so that PostgreSQL can run as another user; what is inside is closed by itself.
        files::make_dir(path, 0o711).map_err(at)?;
        let root = path.canonicalize().map_err(at)?;
        let found = format_of(&root)?;
        if found.is_none() && !is_fresh(&root).map_err(at)? {
            return Err(DataDirError::Foreign(root));
        }
        let lock = lock(&root)?;
        for (name, mode) in [("logs", 0o700), ("nodes", 0o700), ("mail", 0o700)] {
            files::make_dir(&root.join(name), mode).map_err(at)?;
        }
        Ok(Self { root, in_use: found.is_some(), _lock: lock })
    }

    /// Whether an earlier start got as far as making the folder's secrets.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.in_use
    }

    /// Writes the format's number: from now on the folder holds things that must not be made anew.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn mark_in_use(&mut self) -> Result<(), DataDirError> {
        let path = self.root.join("VERSION");
        files::write_private(&path, format!("{FORMAT}\n").as_bytes())
            .map_err(|source| DataDirError::Io { path, source })?;
        self.in_use = true;
        Ok(())
    }

    /// The folder itself, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    #[must_use]
    pub fn mail(&self) -> PathBuf {
        self.root.join("mail")
    }

    /// What a node keeps: its ledger and its audit spool.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn node(&self, name: &str) -> Result<PathBuf, DataDirError> {
        let path = self.root.join("nodes").join(name);
        files::make_dir(&path, 0o700).map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        Ok(path)
    }

    /// The log of one process.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }
}

/// The number in `VERSION`, if the folder has one.
fn format_of(root: &Path) -> Result<Option<u32>, DataDirError> {
    let path = root.join("VERSION");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(DataDirError::Io { path, source }),
    };
    let found: u32 = text.trim().parse().map_err(|_| DataDirError::BadVersion(path.clone()))?;
    match found {
        0 => Err(DataDirError::BadVersion(path)),
        1..=FORMAT => Ok(Some(found)),
        _ => Err(DataDirError::Newer { root: root.to_owned(), found }),
    }
}

/// Whether a folder without `VERSION` is empty, or holds no more than a start leaves that was broken off early.
fn is_fresh(root: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let ours = matches!(name.as_ref(), "lock" | "logs" | "nodes" | "mail" | "secrets" | "VERSION.new");
        if !ours && !name.starts_with('.') {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join("lock");
    let at = |source| DataDirError::Io { path: path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .open(&path)
        .map_err(at)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The number is a help for the reader; without it the sentence still stands.
            let _ = (&mut file).take(20).read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "unknown" } else { pid.trim() }.to_owned();
            return Err(DataDirError::Locked { root: root.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(at(source)),
    }
    file.set_len(0).map_err(at)?;
    writeln!(file, "{}", std::process::id()).map_err(at)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_becomes_a_data_folder_and_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("some/data");
        let mut data = DataDir::open(&place).unwrap();
        assert!(!data.in_use());
        data.mark_in_use().unwrap();
        drop(data);
        assert!(DataDir::open(&place).unwrap().in_use());
    }

    #[test]
    fn a_second_start_on_one_folder_names_the_process_that_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let _first = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()) && error.contains("--data"), "{error}");
    }

    #[test]
    fn a_folder_of_a_newer_version_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("VERSION"), "99\n").unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("newer version") && error.contains("99"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");
    }

    #[test]
    fn a_folder_with_other_peoples_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "x").unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is no data folder"), "{error}");
        fs::write(dir.path().join("VERSION"), "one").unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::BadVersion(_))));
    }

    #[test]
    fn a_start_that_was_broken_off_early_can_be_repeated() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        assert!(!DataDir::open(dir.path()).unwrap().in_use());
    }
}
