//! Refusals of what is not carried out, whatever it asks for: of its body nothing is looked at but the id.

use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::envelope::{self, BUSY, Incoming, Message};
use super::reply;

/// An error for the one request in a body; without an id for everything else.
pub fn refuse(body: &[u8], status: StatusCode, message: &str, data: Value) -> Response {
    let parsed = envelope::parse(body).ok();
    let id = match &parsed {
        Some(Incoming::Single(message)) => Message::id(message),
        Some(Incoming::Batch(_)) | None => None,
    };
    reply::with_status(status, reply::error_with(id, BUSY, message, Some(data)))
}
