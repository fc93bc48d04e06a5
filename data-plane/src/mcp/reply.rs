//! JSON-RPC replies as HTTP responses.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::envelope::{Fault, INVALID_REQUEST, Id};
use super::revision::Revision;
use crate::identity::challenge;

#[derive(Serialize)]
struct Success<'a, T> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: T,
}

#[derive(Serialize)]
struct Failure<'a, D> {
    jsonrpc: &'static str,
    /// Left out where none could be read: null is no id in any of the protocol's schemas.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    error: ErrorBody<'a, D>,
}

#[derive(Serialize)]
struct ErrorBody<'a, D> {
    code: i64,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
}

/// A result.
pub(super) fn result<T: Serialize>(id: &Id, result: T) -> Bytes {
    let body = serde_json::to_vec(&Success { jsonrpc: "2.0", id: &id.0, result });
    body.map_or_else(
        |_| error(Some(id), super::envelope::INTERNAL_ERROR, "the result cannot be written"),
        Bytes::from,
    )
}

/// The result that is a list, put together from entries that are written already; `more` are further members of the result,
/// each with a comma before it.
pub(super) fn list<'a>(
    id: &Id,
    member: &str,
    entries: impl Iterator<Item = &'a RawValue>,
    more: &str,
) -> Bytes {
    let mut body = Vec::from(b"{\"jsonrpc\":\"2.0\",\"id\":");
    body.extend_from_slice(id.0.get().as_bytes());
    body.extend_from_slice(b",\"result\":{\"");
    body.extend_from_slice(member.as_bytes());
    body.extend_from_slice(b"\":[");
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(entry.get().as_bytes());
    }
    body.push(b']');
    body.extend_from_slice(more.as_bytes());
    body.extend_from_slice(b"}}");
    body.into()
}

/// An error; without an id that could be read, it has none.
pub(super) fn error(id: Option<&Id>, code: i64, message: &str) -> Bytes {
    error_with(id, code, message, None::<()>)
}

/// An error with data for the client's code.
pub(super) fn error_with<D: Serialize>(id: Option<&Id>, code: i64, message: &str, data: Option<D>) -> Bytes {
    let failure =
        Failure { jsonrpc: "2.0", id: id.map(|id| &*id.0), error: ErrorBody { code, message, data } };
    serde_json::to_vec(&failure).unwrap_or_default().into()
}

/// An array of replies.
pub(super) fn array(replies: &[Bytes]) -> Bytes {
    let mut body = vec![b'['];
    body.extend(replies.join(&b','));
    body.push(b']');
    body.into()
}

pub(super) fn json(body: Bytes) -> Response {
    with_status(StatusCode::OK, body)
}

/// The answer to `initialize`.
pub(super) fn begun(body: Bytes, session: Option<&str>) -> Response {
    let mut response = json(body);
    if let Some(session) = session.and_then(|session| HeaderValue::from_str(session).ok()) {
        response.headers_mut().insert(super::session::HEADER, session);
    }
    response
}

/// For a session that is over; the client begins again.
pub(super) fn no_session(id: Option<&Id>) -> Response {
    let text = "The session is over or was never here. Begin again with initialize.";
    with_status(StatusCode::NOT_FOUND, error(id, INVALID_REQUEST, text))
}

/// For a notification.
pub(super) fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

pub(super) fn fault(fault: &Fault) -> Response {
    with_status(StatusCode::BAD_REQUEST, error(None, fault.code(), &fault.to_string()))
}

/// For a call that there is no room for; the caller may come back in a second.
pub(super) fn busy(body: Bytes) -> Response {
    let mut response = with_status(StatusCode::TOO_MANY_REQUESTS, body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// For a call that needs a wider token; the header says which (RFC 6750, section 3.1).
pub(super) fn step_up(body: Bytes, origin: &str) -> Response {
    let mut response = with_status(StatusCode::FORBIDDEN, body);
    let header = challenge::step_up(origin).unwrap_or(HeaderValue::from_static("Bearer"));
    response.headers_mut().insert(WWW_AUTHENTICATE, header);
    response
}

/// JSON that is no JSON-RPC message.
pub(super) fn invalid(id: Option<&Id>, reason: &str) -> Response {
    with_status(StatusCode::BAD_REQUEST, error(id, INVALID_REQUEST, reason))
}

/// A protocol version that is not spoken here.
pub(super) fn unsupported(id: Option<&Id>, version: &str) -> Response {
    let version: String = version.chars().take(40).collect();
    let text = format!(
        "Unsupported MCP-Protocol-Version {version:?}. This server speaks {}; begin with initialize.",
        Revision::listed()
    );
    let data = json!({ "supported": Revision::ALL.map(Revision::as_str), "requested": version });
    with_status(StatusCode::BAD_REQUEST, error_with(id, INVALID_REQUEST, &text, Some(data)))
}

pub(super) fn with_status(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, value::to_raw_value};

    use super::*;

    #[test]
    fn a_list_is_json_with_none_one_or_many_tools() {
        let id = Id(to_raw_value("a").unwrap());
        for count in 0..3 {
            let entries: Vec<_> = (0..count).map(|n| to_raw_value(&json!({ "name": n })).unwrap()).collect();
            let body: Value =
                serde_json::from_slice(&list(&id, "tools", entries.iter().map(|e| &**e), ",\"ttlMs\":1"))
                    .unwrap();
            assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &json!("a")));
            assert_eq!(body["result"]["tools"].as_array().unwrap().len(), count);
            assert_eq!(body["result"]["ttlMs"], 1);
        }
    }

    #[test]
    fn a_message_that_cannot_be_read_is_a_bad_request() {
        let response = invalid(None, "jsonrpc must be \"2.0\"");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
}
