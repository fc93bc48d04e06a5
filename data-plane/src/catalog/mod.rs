//! What a tenant offers: connectors compiled, tools under their public names, lists ready to be sent.
//!
//! Knows nothing of who asks; `policy` decides what they see.

pub mod connector;
#[cfg(test)]
pub mod samples;
pub mod tenant;

pub use connector::{Connector, Tool};
pub use tenant::{ApiKey, Installation, KeptOut, Member, ServiceAccount, Tenant, ToolEntry};
