//! The control plane: the console, the OAuth authorization server, and the source of all configuration.
//!
//! `console`, `oauth`'s handlers and `push` stand on the capabilities (`accounts`, `tenants`, `oauth`, `connectors`,
//! `credentials`, `audit`, `mail`), and these on `db`. A capability calls another by its public functions; there are no
//! circles. It shares nothing with the data plane but `toolmesh_proto`.

pub mod accounts;
pub mod audit;
pub mod config;
pub mod connectors;
pub mod console;
pub mod credentials;
pub mod db;
pub mod error;
pub mod jobs;
pub mod mail;
pub mod oauth;
pub mod outbound;
pub mod peer;
pub mod push;
pub mod revocations;
pub mod tenants;

mod serve;

pub use config::Config;
pub use serve::{ControlPlane, Core, routes};
