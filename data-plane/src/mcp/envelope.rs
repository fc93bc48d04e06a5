//! JSON-RPC 2.0 as MCP uses it: what a body is, told apart before anything in it is looked at.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::call::line::Answered;

pub(super) const PARSE_ERROR: i64 = -32700;
pub(super) const INVALID_REQUEST: i64 = -32600;
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
pub(super) const INVALID_PARAMS: i64 = -32602;
pub(super) const INTERNAL_ERROR: i64 = -32603;
/// A header is missing or says something else than the body (2026-07-28, error codes).
pub(super) const HEADER_MISMATCH: i64 = -32020;
/// The client did not declare what a request needs (2026-07-28, error codes).
pub(super) const MISSING_CAPABILITY: i64 = -32021;
/// A revision that is not spoken here (2026-07-28, error codes).
pub(super) const UNSUPPORTED_VERSION: i64 = -32022;
/// The first of the codes that JSON-RPC leaves to servers: no room now, come back.
pub(super) const BUSY: i64 = -32000;

/// Deepest nesting of a body.
const DEPTH: usize = 64;
/// Most messages in a batch.
const BATCH: usize = 50;
/// Longest id that is echoed, in bytes.
const ID_BYTES: usize = 512;

/// A request's id, as it was written: a string or a number.
#[derive(Clone, Debug)]
pub(super) struct Id(pub(super) Box<RawValue>);

/// A body.
#[derive(Debug)]
pub(super) enum Incoming {
    Single(Message),
    Batch(Vec<Message>),
}

/// A message.
#[derive(Debug)]
pub(super) enum Message {
    Request {
        id: Id,
        method: String,
        params: Option<Box<RawValue>>,
    },
    /// Is not answered.
    Notification {
        method: String,
        params: Option<Box<RawValue>>,
    },
    /// An answer to a request of ours; is not answered.
    Response {
        id: Option<Id>,
        answered: Answered,
    },
    /// JSON, but no JSON-RPC; the id, if one could be read.
    Invalid {
        id: Option<Id>,
        reason: &'static str,
    },
}

/// A body that holds no message at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("The body is not JSON.")]
    NotJson,
    #[error("The body nests deeper than 64 levels.")]
    TooDeep,
    #[error("The body is neither a JSON-RPC message nor a batch.")]
    NotAMessage,
    #[error("A batch must hold 1 to 50 messages.")]
    BatchSize,
    #[error("Batches are not part of this protocol version; send one message.")]
    Batch,
}

impl Fault {
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::NotJson | Self::TooDeep => PARSE_ERROR,
            Self::NotAMessage | Self::BatchSize | Self::Batch => INVALID_REQUEST,
        }
    }
}

impl Message {
    pub(super) fn is_initialize(&self) -> bool {
        matches!(self, Self::Request { method, .. } if method == "initialize")
    }

    pub(super) const fn id(&self) -> Option<&Id> {
        match self {
            Self::Request { id, .. } => Some(id),
            Self::Invalid { id, .. } => id.as_ref(),
            Self::Notification { .. } | Self::Response { .. } => None,
        }
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Keeps `null` apart from nothing.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What a request asks with; what a request without params asks with, if it has none.
///
/// # Errors
/// Says why it cannot be read: a member that is there twice, or a number that no program holds.
pub(super) fn params<'a, T: Default + Deserialize<'a>>(raw: Option<&'a RawValue>) -> Result<T, String> {
    let read = |raw: &'a RawValue| serde_json::from_str(raw.get());
    raw.map_or_else(|| Ok(T::default()), read).map_err(|error| format!("params cannot be read: {error}."))
}

/// Reads a body.
///
/// # Errors
/// When there is no message in it.
pub(super) fn parse(body: &[u8]) -> Result<Incoming, Fault> {
    if depth(body) > DEPTH {
        return Err(Fault::TooDeep);
    }
    let text = std::str::from_utf8(body).map_err(|_| Fault::NotJson)?;
    let whole: &RawValue = serde_json::from_str(text).map_err(|_| Fault::NotJson)?;
    match whole.get().as_bytes().first() {
        Some(b'{') => Ok(Incoming::Single(message(whole))),
        Some(b'[') => {
            let parts: Vec<&RawValue> = serde_json::from_str(whole.get()).map_err(|_| Fault::NotJson)?;
            if parts.is_empty() || parts.len() > BATCH {
                return Err(Fault::BatchSize);
            }
            Ok(Incoming::Batch(parts.into_iter().map(message).collect()))
        }
        _ => Err(Fault::NotAMessage),
    }
}

fn message(raw: &RawValue) -> Message {
    // The only errors left are a member that is there twice and a batch's part that is no object.
    let Ok(wire) = serde_json::from_str::<Wire<'_>>(raw.get()) else {
        return Message::Invalid {
            id: None,
            reason: "a message is an object in which no member is repeated",
        };
    };
    let id = wire.id.and_then(id);
    let invalid = |reason| Message::Invalid { id: id.clone(), reason };
    if wire.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
        return invalid("jsonrpc must be \"2.0\"");
    }
    let Some(method) = wire.method else {
        let answered = match (wire.result, wire.error) {
            (Some(result), _) => Answered::Result(result.to_owned()),
            (None, Some(error)) => Answered::Error(error.to_owned()),
            (None, None) => return invalid("method is missing"),
        };
        return Message::Response { id, answered };
    };
    let Ok(method) = serde_json::from_str::<String>(method.get()) else {
        return invalid("method must be a string");
    };
    match wire.params.map(|params| params.get().as_bytes().first()) {
        None | Some(Some(b'{')) => {}
        Some(_) => return invalid("params must be an object"),
    }
    match (wire.id, id.clone()) {
        (None, _) => Message::Notification { method, params: wire.params.map(ToOwned::to_owned) },
        (Some(_), None) => invalid("id must be a string or a number"),
        (Some(_), Some(id)) => Message::Request { id, method, params: wire.params.map(ToOwned::to_owned) },
    }
}

fn id(raw: &RawValue) -> Option<Id> {
    let first = *raw.get().as_bytes().first()?;
    let sound = (first == b'"' || first == b'-' || first.is_ascii_digit()) && raw.get().len() <= ID_BYTES;
    sound.then(|| Id(raw.to_owned()))
}

/// How deep a JSON text nests; an upper bound for what is no JSON.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn single(body: &str) -> Message {
        match parse(body.as_bytes()) {
            Ok(Incoming::Single(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_keeps_its_id_as_it_was_written() {
        for id in ["1", "\"a\"", "-1", "1.50", "9007199254740993", "\"\""] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping","params":{{"a":1}}}}"#);
            let Message::Request { id: read, method, params } = single(&body) else { panic!("{body}") };
            assert_eq!((read.0.get(), method.as_str()), (id, "ping"));
            assert_eq!(params.unwrap().get(), r#"{"a":1}"#);
        }
    }

    #[test]
    fn notifications_and_responses_are_not_answered() {
        for body in [
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#,
        ] {
            assert!(
                matches!(single(body), Message::Notification { .. } | Message::Response { .. }),
                "{body}"
            );
        }
    }

    #[test]
    fn json_that_is_no_message_keeps_its_id_if_it_has_one() {
        for (body, has_id) in [
            (r#"{"id":1,"method":"ping"}"#, true),
            (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, true),
            (r#"{"jsonrpc":"2.0","id":1}"#, true),
            (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, true),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, true),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, false),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, false),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, false),
            ("{}", false),
        ] {
            let message = single(body);
            assert!(matches!(message, Message::Invalid { .. }), "{body}");
            assert_eq!(message.id().is_some(), has_id, "{body}");
        }
    }

    #[test]
    fn a_body_without_a_message_is_a_fault() {
        let nested = "[".repeat(100_000);
        for (body, fault) in [
            ("", Fault::NotJson),
            ("{", Fault::NotJson),
            ("hello", Fault::NotJson),
            ("1", Fault::NotAMessage),
            ("null", Fault::NotAMessage),
            ("[]", Fault::BatchSize),
            (nested.as_str(), Fault::TooDeep),
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap_err(), fault);
        }
        assert_eq!(parse(b"\xff{}").unwrap_err(), Fault::NotJson);
        assert!(matches!(parse(b" [ {} , 1 ] ").unwrap(), Incoming::Batch(parts) if parts.len() == 2));
    }

    #[test]
    fn brackets_within_strings_are_no_depth() {
        assert_eq!(depth(br#"{"a":"[[[\"[[["}"#), 1);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }
    }
}
