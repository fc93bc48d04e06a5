//! DokuWiki as Debian packages it, with settings and pages of its own. `fixtures/dokuwiki.php` gives it the JSON-RPC that newer
//! versions have.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::child::{Kept, Start};
use crate::wait::eventually;
use crate::{net, paths};

/// The token that is let in.
pub const TOKEN: &str = "wiki-token-of-ada";

/// Where Debian keeps the settings that come with the package.
const SETTINGS: &str = "/etc/dokuwiki";

/// A running wiki.
#[derive(Debug)]
pub struct DokuWiki {
    /// Its origin, without a trailing slash.
    pub url: String,
    _process: Kept,
    _folder: tempfile::TempDir,
}

impl DokuWiki {
    /// An empty wiki.
    ///
    /// # Errors
    /// When the packages are missing or it does not start.
    pub async fn start() -> Result<Self> {
        let folder = paths::scratch("toolmesh-dokuwiki-")?;
        settle(folder.path()).context("DokuWiki is not installed; run tests/install e2e")?;
        let port = net::free_port()?;
        let (program, log) = (paths::program("php")?, folder.path().join("log"));
        let script = paths::fixture("dokuwiki.php").display().to_string();
        let own = folder.path().display().to_string();
        let start = Start { name: "dokuwiki", program: &program, log: &log, clean: None, save: None };
        let address = format!("127.0.0.1:{port}");
        let environment = [("WIKI_FOLDER", own.as_str()), ("WIKI_TOKEN", TOKEN)];
        let mut process = Kept::start(&start, &["-S", &address, &script], &environment)?;
        let (url, http) = (net::here(port), net::client()?);
        eventually("the wiki answers", Duration::from_secs(60), || {
            let ended = process.ended();
            let (http, url) = (http.clone(), url.clone());
            async move {
                if let Some(status) = ended? {
                    bail!("php ended with {status}");
                }
                Ok(http.get(&url).send().await.ok().map(|_| ()))
            }
        })
        .await?;
        Ok(Self { url, _process: process, _folder: folder })
    }
}

/// Settings and empty folders for pages.
fn settle(folder: &Path) -> Result<()> {
    let settings = folder.join("conf");
    std::fs::create_dir(&settings)?;
    for entry in std::fs::read_dir(SETTINGS)? {
        let entry = entry?;
        // The lists of users and rights are links that only the web server may follow; this wiki has neither.
        if entry.file_type()?.is_file() && entry.file_name() != "local.php" {
            std::fs::copy(entry.path(), settings.join(entry.file_name()))?;
        }
    }
    let data = folder.join("data");
    for name in [
        "attic",
        "cache",
        "index",
        "locks",
        "log",
        "media",
        "media_attic",
        "media_meta",
        "meta",
        "pages",
        "tmp",
    ] {
        std::fs::create_dir_all(data.join(name))?;
    }
    let own = format!(
        "<?php\n$conf['savedir'] = '{}';\n$conf['useacl'] = 0;\n$conf['remote'] = 1;\n$conf['remoteuser'] = '';\n",
        data.display()
    );
    Ok(std::fs::write(settings.join("local.php"), own)?)
}
