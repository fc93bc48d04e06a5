//! Files that others on the machine must not read, written whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes a file that only its owner reads (0600); a reader sees the old content or the new, never half.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
    name.push(".new");
    let temporary = path.with_file_name(name);
    remove_if_there(&temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// Makes a folder with this mode, parents included; one that is there keeps its own mode.
pub(crate) fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    // The process's umask has a say in `mode` above and none here.
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Opens a log to append to; one that has grown past 10 MB becomes `NAME.old` first, so that a machine that is restarted
/// now and then is not filled.
pub(crate) fn open_log(path: &Path) -> io::Result<File> {
    const LIMIT: u64 = 10_000_000;
    if fs::metadata(path).is_ok_and(|meta| meta.len() > LIMIT) {
        let mut name = path.as_os_str().to_os_string();
        name.push(".old");
        fs::rename(path, name)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The last lines of a file from `start` on, at most `lines` of them and 4 KB, each indented for a message.
pub(crate) fn tail(path: &Path, start: u64, lines: usize) -> String {
    const LIMIT: u64 = 4096;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(LIMIT)).min(end)))?;
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &all[all.len().saturating_sub(lines)..];
    if last.is_empty() {
        return "  (it wrote nothing)".to_owned();
    }
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_tail_leaves_out_what_an_earlier_run_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "old\nfirst\n\nsecond\nthird\n").unwrap();
        assert_eq!(tail(&path, 4, 2), "  second\n  third");
        assert_eq!(tail(&path, 900, 2), "  (it wrote nothing)");
        assert_eq!(tail(&dir.path().join("none"), 0, 2), "  (it wrote nothing)");
    }
}
