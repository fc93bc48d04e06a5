//! Stoplight's Prism: a server that is made of an OpenAPI document. It refuses what the document does not allow, and otherwise
//! answers as the document says.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::child::{Kept, Start};
use crate::{net, paths};

/// How long a large document takes to be read on a busy machine.
const START: Duration = Duration::from_secs(120);

/// A running server.
#[derive(Debug)]
pub struct Prism {
    /// Its origin, without a trailing slash.
    pub url: String,
    _process: Kept,
    _folder: tempfile::TempDir,
}

impl Prism {
    /// Serves a document.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(document: &Path) -> Result<Self> {
        let folder = paths::scratch("toolmesh-prism-")?;
        let port = net::free_port()?;
        let log = folder.path().join("prism.log");
        let program = paths::prism()?;
        let (port_text, document) = (port.to_string(), document.display().to_string());
        let args = ["mock", "--host", "127.0.0.1", "--port", &port_text, "--errors", &document];
        let start = Start { name: "prism", program: &program, log: &log, clean: None, save: None };
        let mut process = Kept::start(&start, &args, &[("NO_COLOR", "1")])?;
        process
            .until_printed("it listened", START, |text| text.contains("Prism is listening").then_some(()))
            .await?;
        Ok(Self { url: net::here(port), _process: process, _folder: folder })
    }
}
