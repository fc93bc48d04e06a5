//! What both planes must agree on, and nothing else: the wire protocol (generated from `toolmesh/v1`), typed ids, rules
//! for slugs and hosts, tool names, access classes, access-token claims, rules for outbound addresses, the sealing of
//! credentials between the planes, headers of the Model Context Protocol, what the audit log holds beside calls, and which jq
//! programs are run and how far.
//!
//! This crate knows neither database nor HTTP server; both planes import it and it imports neither.

pub mod access;
pub mod beside_calls;
pub mod claims;
pub mod egress;
pub mod ids;
pub mod jq;
pub mod mcp_headers;
pub mod names;
pub mod seal;
pub mod slug;

/// Messages and services of the protocol; each `.proto` file opens with who speaks first and what stays valid when.
pub mod v1 {
    #![allow(clippy::all, clippy::allow_attributes, missing_docs, reason = "generated code")]
    tonic::include_proto!("toolmesh.v1");
}

use aws_lc_rs::digest;
use prost::Message as _;

/// Largest gRPC message either plane sends or accepts, in bytes. A bundle of 2,000 members and 50 installations is well
/// under one tenth of it.
pub const MAX_GRPC_MESSAGE: usize = 16 * 1024 * 1024;

/// Identity of a connector: lower-case hex of the SHA-256 of its encoded bytes.
#[must_use]
pub fn connector_hash(connector: &v1::Connector) -> String {
    hex(digest::digest(&digest::SHA256, &connector.encode_to_vec()).as_ref())
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
