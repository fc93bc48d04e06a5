//! The protocol's official conformance suite, run as its authors ship it, against a running system.
//!
//! A scenario counts only if every one of its checks succeeded: no list of failures that are expected, and a warning or a
//! skipped check is a failure too.

mod authorization;
mod server;
mod suite;
