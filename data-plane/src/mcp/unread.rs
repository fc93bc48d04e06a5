//! Bodies before anybody looks at what they ask for: how many messages there are in one, and the refusal of one whose id alone is
//! read.

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

/// How many messages a body holds, as far as limits go: only a batch can hold more than one.
#[must_use]
pub fn messages(body: &[u8]) -> usize {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        return 1;
    }
    match envelope::parse(body) {
        Ok(Incoming::Batch(messages)) => messages.len(),
        Ok(Incoming::Single(_)) | Err(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_as_its_messages_and_everything_else_as_one() {
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        for (body, count) in [
            (ping.to_owned(), 1),
            (format!(" \n[{ping},{ping},{ping}]"), 3),
            (format!("[{ping}"), 1),
            (String::new(), 1),
            ("[]".to_owned(), 1),
        ] {
            assert_eq!(messages(body.as_bytes()), count, "{body}");
        }
    }
}
