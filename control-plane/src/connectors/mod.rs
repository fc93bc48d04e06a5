//! Connectors: the catalog, compiling source text, and the installations of a workspace.
//!
//! An installation is a connector enabled under a name, with base URL, credentials and tools on or off. Knows nothing of
//! nodes; `push` asks for what they need, access tokens included.

pub mod aliases;
pub mod built_in;
pub mod catalog;
pub mod changes;
pub mod connections;
pub mod dadl;
mod enabling;
pub mod exposure;
pub mod grants;
pub mod installation;
pub mod installations;
mod loading;
mod nodes;
pub mod openapi;
pub mod overrides;
pub mod private;
pub mod store;
pub mod update;
pub mod upstream;

pub use connections::Connections;
pub use enabling::{Install, Source};
pub use grants::Grants;
pub use installation::{Installation, ToolRow};
pub use installations::Installations;
pub use upstream::Upstreams;
