//! What the tests share: the product as real processes, the people, clients, mailboxes and APIs around it.
//!
//! Everything here speaks to the product from outside (HTTP, its command line, its files) and knows nothing of its code.
//! Every wait has a deadline, every process a keeper that stops it when the test run ends, however it ends.

pub mod admin;
mod answers;
pub mod authenticator;
pub mod browser;
pub mod cable;
pub mod child;
pub mod console;
pub mod database;
pub mod dns;
pub mod dokuwiki;
pub mod emulate;
pub mod events;
pub mod everything;
pub mod everywhere;
pub mod examples;
pub mod factors;
pub mod github;
pub mod google;
pub mod guarded;
pub mod html;
pub mod mailbox;
pub mod mcp;
pub mod monitoring;
pub mod net;
pub mod node;
pub mod oauth;
pub mod paths;
pub mod pg_proxy;
pub mod prism;
pub mod provider;
pub mod published;
pub mod recorded;
pub mod relay;
pub mod rows;
pub mod schema;
pub mod servers;
pub mod signer;
pub mod system;
pub mod tls;
pub mod token_server;
pub mod totp;
pub mod upstream;
pub mod wait;
pub mod workspace;

pub use console::{Console, Page};
pub use mcp::{Answer, Mcp};
pub use system::System;
pub use upstream::Upstream;
pub use wait::eventually;
pub use workspace::{Person, Workspace};

/// What a test returns: an error names what was asked and what came instead.
pub type TestResult = anyhow::Result<()>;
