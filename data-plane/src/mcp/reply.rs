//! JSON-RPC replies as HTTP responses.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::envelope::{Fault, INVALID_REQUEST, Id};
use super::revision::Revision;

#[derive(Serialize)]
struct Success<'a, T> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: T,
}

#[derive(Serialize)]
struct Failure<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: i32,
    message: &'a str,
}

/// A result.
pub(super) fn result<T: Serialize>(id: &Id, result: T) -> Bytes {
    let body = serde_json::to_vec(&Success { jsonrpc: "2.0", id: &id.0, result });
    body.map_or_else(
        |_| error(Some(id), super::envelope::INTERNAL_ERROR, "the result cannot be written"),
        Bytes::from,
    )
}

/// An error; without an id that could be read, the id is null.
pub(super) fn error(id: Option<&Id>, code: i32, message: &str) -> Bytes {
    let failure = Failure { jsonrpc: "2.0", id: id.map(|id| &*id.0), error: ErrorBody { code, message } };
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

/// For a notification.
pub(super) fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

pub(super) fn fault(fault: &Fault) -> Response {
    with_status(StatusCode::BAD_REQUEST, error(None, fault.code(), &fault.to_string()))
}

/// A protocol version that is not spoken here.
pub(super) fn unsupported(id: Option<&Id>, version: &str) -> Response {
    let version: String = version.chars().take(40).collect();
    let text = format!(
        "Unsupported MCP-Protocol-Version {version:?}. This server speaks {}; begin with initialize.",
        Revision::listed()
    );
    with_status(StatusCode::BAD_REQUEST, error(id, INVALID_REQUEST, &text))
}

/// A message that is no JSON-RPC.
pub(super) fn with_status(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
