//! MCP servers that others wrote, from the registries of their packages, as processes of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::child::{Kept, Start};
use crate::wait::eventually;
use crate::{net, paths};

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The reference server of the protocol's authors, over Streamable HTTP.
    Everything,
    /// The same over the transport of 2024-11-05.
    EverythingSse,
    /// Their server that remembers, which speaks standard input and output, behind `supergateway`: with a process for each
    /// session, or for each request.
    Memory { sessions: bool },
    /// `tests/clients/python/first/server.py`, on FastMCP of the Python SDK's first generation.
    Python(Manner),
}

/// How a server of that SDK speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Sessions,
    Stateless,
    /// With sessions; each answer is one JSON document and no stream.
    Json,
    /// The transport of 2024-11-05.
    Sse,
}

/// A running one.
#[derive(Debug)]
pub struct Published {
    /// Its endpoint.
    pub url: String,
    _process: Kept,
    _folder: tempfile::TempDir,
}

impl Published {
    /// Starts one.
    ///
    /// # Errors
    /// When its package is not installed, or it does not get ready.
    pub async fn start(kind: Kind) -> Result<Self> {
        let mut last = None;
        // The port is free when it is chosen; another process may take it before the server does.
        for _ in 0..3 {
            match Self::try_start(kind).await {
                Ok(running) => return Ok(running),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("never tried")?)
    }

    async fn try_start(kind: Kind) -> Result<Self> {
        let folder = paths::scratch("toolmesh-published-")?;
        let port = net::free_port()?;
        let log = folder.path().join("server.log");
        let (program, args) = kind.command(port)?;
        let memory = folder.path().join("memory.jsonl").display().to_string();
        let port_text = port.to_string();
        let mut envs = vec![("PORT", port_text.as_str()), ("MEMORY_FILE_PATH", memory.as_str())];
        let first = match kind {
            Kind::Python(_) => paths::python_first()?.display().to_string(),
            _ => String::new(),
        };
        envs.extend([("PYTHONPATH", first.as_str()), ("PYTHONDONTWRITEBYTECODE", "1")]);
        let start =
            Start { name: "a published server", program: &program, log: &log, clean: None, save: None };
        let mut process = Kept::start(&start, &args, &envs)?;
        let (url, http) = (format!("{}{}", net::here(port), kind.path()), net::client()?);
        let ready = eventually("the server answers", Duration::from_secs(60), || {
            let ended = process.ended();
            let (http, url) = (http.clone(), url.clone());
            async move {
                if let Some(status) = ended? {
                    bail!("it ended with {status}");
                }
                Ok(http.get(&url).send().await.ok().map(|_| ()))
            }
        });
        ready.await.with_context(|| process.printed())?;
        Ok(Self { url, _process: process, _folder: folder })
    }
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::EverythingSse | Self::Python(Manner::Sse) => "/sse",
            _ => "/mcp",
        }
    }

    fn command(self, port: u16) -> Result<(PathBuf, Vec<String>)> {
        let node = || Path::new("node").to_owned();
        let package = |path: &str| Ok::<_, anyhow::Error>(paths::node_module(path)?.display().to_string());
        let everything = "@modelcontextprotocol/server-everything/dist/index.js";
        Ok(match self {
            Self::Everything => (node(), vec![package(everything)?, "streamableHttp".to_owned()]),
            Self::EverythingSse => (node(), vec![package(everything)?, "sse".to_owned()]),
            Self::Memory { sessions } => {
                let memory = package("@modelcontextprotocol/server-memory/dist/index.js")?;
                let mut args = vec![package("supergateway/dist/index.js")?, "--stdio".to_owned()];
                args.push(format!("node {memory}"));
                let more = ["--outputTransport", "streamableHttp", "--logLevel", "none", "--port"];
                args.extend(more.map(str::to_owned));
                args.push(port.to_string());
                args.extend(sessions.then(|| "--stateful".to_owned()));
                (node(), args)
            }
            Self::Python(manner) => {
                let script = paths::client("python/first/server.py").display().to_string();
                let manner = match manner {
                    Manner::Sessions => "sessions",
                    Manner::Stateless => "stateless",
                    Manner::Json => "json",
                    Manner::Sse => "sse",
                };
                (paths::python()?, vec![script, manner.to_owned(), port.to_string()])
            }
        })
    }
}
