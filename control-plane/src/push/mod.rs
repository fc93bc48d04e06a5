//! Configuration on its way to the nodes.
//!
//! `relay` learns of committed changes and has bundles compiled, in the order that `queue` says; `hub` holds the newest
//! bundle of each tenant, `alerts` what was revoked, which `lane` learns of and which overtakes everything; `seats` the nodes that are connected; `stream` speaks with one node; `server` is the gRPC door. The
//! protocol is written down in `config.proto`.

mod alerts;
pub mod compile;
pub mod hub;
pub mod lane;
mod queue;
pub mod relay;
mod seats;
pub mod server;
mod store;
mod stream;

pub use hub::Hub;
pub use stream::{Report, Told};
