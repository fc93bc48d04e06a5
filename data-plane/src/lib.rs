//! The data plane: a node serves tenants' MCP endpoints from what the control plane has pushed.
//!
//! The rooms stand in the order a request walks through them: `ingress` finds the tenant, `identity` the caller, `mcp` the
//! question, `catalog` the tool, `policy` decides, `execute` carries out, `record` writes down; `call` leads a call through
//! the last four. `sync` keeps what is in force up to date beside them, and `peer` reaches what is open on other nodes. A node holds no database and nothing that another node lacks.

pub mod call;
pub mod catalog;
pub mod config;
pub mod error;
pub mod execute;
pub mod identity;
pub mod ingress;
pub mod mcp;
pub mod members;
pub mod node;
pub mod peer;
pub mod policy;
pub mod record;
pub mod sealed;
pub mod sync;

pub use config::{Config, ConfigError, Limits, LogConfig};
pub use error::StartError;
pub use node::{Node, RunningNode};
