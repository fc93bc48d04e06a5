//! What a tenant offers: connectors compiled, tools under their public names, lists ready to be sent.
//!
//! Knows nothing of who asks; `policy` decides what they see.

pub mod composite;
pub mod connector;
mod entries;
mod installation;
pub mod mirrored;
pub mod offers;
mod pages;
mod people;
mod presets;
#[cfg(test)]
pub mod samples;
pub mod search;
pub mod server;
pub mod spelling;
mod template;
pub mod tenant;
pub mod typescript;
mod vocabulary;

pub use composite::Composite;
pub use connector::{Call, Connector, Tool};
pub use entries::ToolEntry;
pub use installation::{Exposure, Installation};
pub use offers::{Offer, Offers, Route};
pub use people::{ApiKey, Holder, KeptOut, Member, ServiceAccount};
pub use server::Server;
pub use template::Work;
pub use tenant::Tenant;
