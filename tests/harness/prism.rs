//! A server written by others that answers as an OpenAPI document says, and refuses requests that do not fit it: the npm package
//! `@stoplight/prism-cli`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::child::{Kept, Start};
use crate::wait::eventually;
use crate::{net, paths};

/// A running server.
#[derive(Debug)]
pub struct Prism {
    /// Its origin, without a trailing slash.
    pub url: String,
    _process: Kept,
    _folder: tempfile::TempDir,
}

impl Prism {
    /// Answers as a document says.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(document: &Path) -> Result<Self> {
        let folder = paths::scratch("toolmesh-prism-")?;
        let port = net::free_port()?;
        let program = paths::openapi_module(".bin/prism")?;
        let log = folder.path().join("prism.log");
        let (port_text, document) = (port.to_string(), document.display().to_string());
        let args = ["mock", "--host", "127.0.0.1", "--port", &port_text, &document];
        let start = Start { name: "prism", program: &program, log: &log, clean: None, save: None };
        let mut process = Kept::start(&start, &args, &[])?;
        let (url, http) = (format!("http://127.0.0.1:{port}"), net::client()?);
        // It reads the whole document before it listens.
        eventually("prism answers", Duration::from_secs(120), || {
            let ended = process.ended();
            let (http, url) = (http.clone(), url.clone());
            async move {
                if let Some(status) = ended? {
                    bail!("prism ended with {status}");
                }
                Ok(http.get(&url).send().await.ok().map(|_| ()))
            }
        })
        .await?;
        Ok(Self { url, _process: process, _folder: folder })
    }
}
