//! What a server sends, taken apart: JSON-RPC 2.0 as the protocol uses it, with everything inside left as it came.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Most messages of one batch (2025-03-26).
const BATCH: usize = 64;

/// One message of a server.
#[derive(Debug)]
pub enum Message {
    /// The answer to a request of ours.
    Answer {
        id: Box<RawValue>,
        outcome: Outcome,
    },
    /// A request to the client.
    Request {
        id: Box<RawValue>,
        method: String,
        params: Option<Box<RawValue>>,
    },
    Notification {
        method: String,
        params: Option<Box<RawValue>>,
    },
}

/// What a request came to.
#[derive(Debug)]
pub enum Outcome {
    Result(Box<RawValue>),
    Error(RpcError),
}

/// An error as the server words it.
#[derive(Clone, Debug, Deserialize)]
pub struct RpcError {
    pub code: i64,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
}

/// Why something is no message; completes a sentence that begins with what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("is no JSON")]
    Json,
    #[error("is no JSON-RPC 2.0 message")]
    Message,
    #[error("holds an error without a code")]
    Error,
    #[error("is a batch, which this revision of the protocol does not have")]
    Batch,
    #[error("is a batch of more than {BATCH} messages")]
    LargeBatch,
}

#[derive(Deserialize)]
struct Wire {
    jsonrpc: Option<String>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Box<RawValue>>,
    method: Option<String>,
    params: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    error: Option<Box<RawValue>>,
}

/// `null` is present too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one message.
///
/// # Errors
/// Says why it is none.
pub fn read(bytes: &[u8]) -> Result<Message, Malformed> {
    let wire: Wire = match serde_json::from_slice(bytes) {
        Ok(wire) => wire,
        Err(error) if error.is_data() => return Err(Malformed::Message),
        Err(_) => return Err(Malformed::Json),
    };
    if wire.jsonrpc.as_deref() != Some("2.0") {
        return Err(Malformed::Message);
    }
    match (wire.method, wire.id, wire.result, wire.error) {
        (Some(method), Some(id), None, None) if is_id(&id) => {
            Ok(Message::Request { id, method, params: wire.params })
        }
        (Some(method), None, None, None) => Ok(Message::Notification { method, params: wire.params }),
        (None, Some(id), Some(result), None) if is_id(&id) => {
            Ok(Message::Answer { id, outcome: Outcome::Result(result) })
        }
        // A server that could not read the id says null, or leaves it out.
        (None, id, None, Some(error)) if id.as_deref().is_none_or(|id| is_id(id) || id.get() == "null") => {
            let error = serde_json::from_str(error.get()).map_err(|_| Malformed::Error)?;
            let id = id.unwrap_or_else(|| RawValue::NULL.to_owned());
            Ok(Message::Answer { id, outcome: Outcome::Error(error) })
        }
        _ => Err(Malformed::Message),
    }
}

/// Reads one message, or the several of a batch where the revision has them.
///
/// # Errors
/// Says why it is neither.
pub fn read_all(bytes: &[u8], batches: bool) -> Result<Vec<Message>, Malformed> {
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    if first != Some(&b'[') {
        return Ok(vec![read(bytes)?]);
    }
    if !batches {
        return Err(Malformed::Batch);
    }
    let parts: Vec<&RawValue> = serde_json::from_slice(bytes).map_err(|_| Malformed::Json)?;
    if parts.len() > BATCH {
        return Err(Malformed::LargeBatch);
    }
    parts.into_iter().map(|part| read(part.get().as_bytes())).collect()
}

/// A text or a number.
fn is_id(id: &RawValue) -> bool {
    id.get().starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_of_message_is_told_from_the_others() {
        let answer = read(br#"{"jsonrpc":"2.0","id":7,"result":{"a":1.50}}"#).unwrap();
        assert!(matches!(answer, Message::Answer { id, outcome: Outcome::Result(result) }
            if id.get() == "7" && result.get() == r#"{"a":1.50}"#));
        let error = read(br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}"#).unwrap();
        assert!(
            matches!(error, Message::Answer { outcome: Outcome::Error(error), .. } if error.code == -32700)
        );
        let request = read(br#"{"jsonrpc":"2.0","id":"a","method":"roots/list"}"#).unwrap();
        assert!(matches!(request, Message::Request { params: None, .. }));
        let told = read(br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#).unwrap();
        assert!(matches!(told, Message::Notification { params: Some(_), .. }));
    }

    #[test]
    fn what_is_no_message_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", Malformed::Json),
            ("{", Malformed::Json),
            ("7", Malformed::Message),
            (r#"{"id":1,"result":{}}"#, Malformed::Message),
            (r#"{"jsonrpc":"1.0","id":1,"result":{}}"#, Malformed::Message),
            (r#"{"jsonrpc":"2.0","id":1}"#, Malformed::Message),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1}}"#, Malformed::Message),
            (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, Malformed::Message),
            (r#"{"jsonrpc":"2.0","id":{},"result":{}}"#, Malformed::Message),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#, Malformed::Message),
            (r#"{"jsonrpc":"2.0","id":1,"id":1,"result":{}}"#, Malformed::Message),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}"#, Malformed::Error),
            (r#"{"jsonrpc":"2.0","id":1,"error":null}"#, Malformed::Error),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err(), reason, "{text}");
        }
    }

    #[test]
    fn a_batch_is_taken_only_where_the_revision_has_it() {
        let batch = br#" [{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","method":"x"}]"#;
        assert_eq!(read_all(batch, true).unwrap().len(), 2);
        assert_eq!(read_all(batch, false).unwrap_err(), Malformed::Batch);
        let large = format!("[{}]", [r#"{"jsonrpc":"2.0","method":"x"}"#; 65].join(","));
        assert_eq!(read_all(large.as_bytes(), true).unwrap_err(), Malformed::LargeBatch);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in r#"[\[\]{}",:0-9a-z .-]{0,200}"#) {
            let _ = read_all(text.as_bytes(), true);
        }
    }
}
