//! The protocol's official conformance suite, run as its authors ship it, against a running system.
//!
//! A scenario counts only if every one of its checks succeeded: no list of failures that are expected, and a warning or a
//! skipped check is a failure too. (Of a client it also notes what it saw and what a client need not do.)

mod authorization;
mod client;
mod client_auth;
mod client_nodes;
mod driven;
mod nodes;
mod server;
mod suite;
