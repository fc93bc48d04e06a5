//! The command line's shape. Holds no behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::admin::AdminArgs;
use crate::connector::ConnectorArgs;

/// ToolMesh on one machine.
#[derive(Parser, Debug)]
#[command(name = "toolmesh", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Start everything on this machine and keep it running until Ctrl-C
    Up(UpArgs),
    /// Work on users, workspaces, connectors and keys without a browser
    Admin(AdminArgs),
    /// Check connectors and try their tools, for authors
    Connector(ConnectorArgs),
    /// Print the version
    Version,
}

#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// Port on 127.0.0.1 and ::1 for the console and all workspaces; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Folder for everything that is kept: database, secrets, mail, logs
    #[arg(long, value_name = "DIR", default_value = "./data")]
    pub data: PathBuf,
    /// How many data-plane nodes to run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub nodes: u8,
    /// Address under which a TLS proxy or tunnel serves this port, e.g. https://tools.example.com; workspaces are then
    /// at its subdomains
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Let connectors call addresses in private networks and on this machine
    #[arg(long)]
    pub allow_private_upstreams: bool,
    /// Form of the logs, ours and the planes'
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl LogFormat {
    /// The value of `TOOLMESH_LOG_FORMAT`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}
