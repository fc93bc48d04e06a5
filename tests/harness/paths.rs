//! Where things are: the repository, the binaries beside this test, the folders for what a run leaves behind.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// A file of `tests/fixtures`.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures").join(name)
}

/// `tests/output/NAME`, made when it is not there; ignored by git.
///
/// # Errors
/// When the folder cannot be made.
pub fn output(name: &str) -> Result<PathBuf> {
    let folder = root().join("tests/output").join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// A binary of the workspace, from the profile this test was built with.
///
/// # Errors
/// When it has not been built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let mut folder = this.parent().context("this test has no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps has no parent folder")?;
    }
    let path = folder.join(name);
    ensure!(path.is_file(), "build the workspace first (cargo build --workspace): no {}", path.display());
    Ok(path)
}

/// A script or program of `tests/clients`.
#[must_use]
pub fn client(path: &str) -> PathBuf {
    root().join("tests/clients").join(path)
}

/// A program of the Node packages that the tests use.
///
/// # Errors
/// When they have not been installed.
pub fn node_module(path: &str) -> Result<PathBuf> {
    let path = client("node/node_modules").join(path);
    ensure!(
        path.exists(),
        "install the Node packages first (npm ci in tests/clients/node): no {}",
        path.display()
    );
    Ok(path)
}

/// A file of the packages with OpenAPI documents: `tests/openapi/node_modules/…`.
///
/// # Errors
/// When they have not been installed.
pub fn openapi_module(path: &str) -> Result<PathBuf> {
    let path = root().join("tests/openapi/node_modules").join(path);
    ensure!(
        path.exists(),
        "install the OpenAPI packages first (npm ci in tests/openapi): no {}",
        path.display()
    );
    Ok(path)
}

/// Stoplight's Prism: a server made of an OpenAPI document.
///
/// # Errors
/// When it has not been installed.
pub fn prism() -> Result<PathBuf> {
    let path = root().join("tests/prism/node_modules/.bin/prism");
    ensure!(path.exists(), "install Prism first (npm ci in tests/prism): no {}", path.display());
    Ok(path)
}

/// The Python that has the client packages: `tests/clients/python/.venv`.
///
/// # Errors
/// When the environment has not been made.
pub fn python() -> Result<PathBuf> {
    let path = client("python/.venv/bin/python");
    ensure!(
        path.exists(),
        "make the Python environment first (python3 -m venv .venv, then .venv/bin/pip install -r requirements.txt, \
         in tests/clients/python)"
    );
    Ok(path)
}

/// Where the packages of the Python SDK's first generation are, which the newer ones of the same names must not mix with.
///
/// # Errors
/// When they have not been installed.
pub fn python_first() -> Result<PathBuf> {
    let path = client("python/.venv/first");
    ensure!(
        path.exists(),
        "install the older Python packages first (.venv/bin/pip install --target .venv/first -r first/requirements.txt, in \
         tests/clients/python)"
    );
    Ok(path)
}

/// A fresh folder that other users may pass through: the database of a system started as root runs as another user.
///
/// # Errors
/// When the folder cannot be made.
pub fn scratch(prefix: &str) -> Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// A program that a package of the system brings.
///
/// # Errors
/// When it is not on the PATH.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name));
    found
        .find(|file| file.is_file())
        .with_context(|| format!("{name} is not installed; run tests/install e2e"))
}
