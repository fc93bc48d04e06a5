//! Configuration on its way to the nodes.
//!
//! `relay` learns of committed changes and compiles bundles; `hub` holds the newest bundle of each tenant and knows the
//! nodes; `stream` speaks with one node; `server` is the gRPC door. The protocol is written down in `config.proto`.

pub mod compile;
pub mod hub;
pub mod relay;
pub mod server;
mod store;
mod stream;

pub use hub::Hub;
