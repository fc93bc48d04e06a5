//! A server with everything the protocol has, by the names and with the manners that the conformance suite asks for. It is
//! built twice, on SDKs that others wrote: where both agree with us, it is not their fault that we share.

mod handler;
mod says;
mod shared;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};

use self::handler::Handler;
use crate::child::{Kept, Start};
use crate::{paths, provider};

/// On what it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    Rust,
    TypeScript,
}

/// Which eras of the protocol it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eras {
    Both,
    /// With `initialize` and sessions, up to 2025-11-25.
    Legacy,
    /// 2026-07-28 alone.
    Modern,
}

/// A running one.
#[derive(Debug)]
pub struct Everything {
    /// Its endpoint.
    pub url: String,
    _process: Option<(Kept, tempfile::TempDir)>,
}

impl Everything {
    /// Starts one.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn start(sdk: Sdk, eras: Eras) -> Result<Self> {
        match sdk {
            Sdk::Rust => Self::rust(eras),
            Sdk::TypeScript => Self::typescript(eras).await,
        }
    }

    /// On `rmcp`. It lives as long as the test process.
    fn rust(eras: Eras) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("http://localhost:{}/mcp", listener.local_addr()?.port());
        let handler = Handler::new(eras)?;
        // Loopback hosts are allowed without being named; origins are not looked at unless some are.
        let mut config = StreamableHttpServerConfig::default();
        config.allowed_origins = ["http://localhost:*", "http://127.0.0.1:*"].map(str::to_owned).into();
        let sessions = Arc::new(LocalSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(handler.clone()), sessions, config);
        provider::serve(listener, Router::new().route_service("/mcp", service))?;
        Ok(Self { url, _process: None })
    }

    /// On the TypeScript SDK, as a process.
    async fn typescript(eras: Eras) -> Result<Self> {
        paths::node_module("@modelcontextprotocol/server/package.json")?;
        let folder = paths::scratch("toolmesh-everything-")?;
        let log = folder.path().join("server.log");
        let script = paths::client("node/everything/server.mjs").display().to_string();
        let eras = match eras {
            Eras::Both => "both",
            Eras::Legacy => "legacy",
            Eras::Modern => "modern",
        };
        let start =
            Start { name: "everything", program: Path::new("node"), log: &log, clean: None, save: None };
        let mut process = Kept::start(&start, &[script.as_str(), eras], &[])?;
        let url = process
            .until_printed("it listened", Duration::from_secs(60), |text| {
                let line = text.lines().find_map(|line| line.strip_prefix("LISTENING "))?;
                line.ends_with("/mcp").then(|| line.to_owned())
            })
            .await?;
        Ok(Self { url, _process: Some((process, folder)) })
    }
}
