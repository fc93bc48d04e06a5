//! What is said when there is nothing else to say, as JSON: `{"error": code, "message": sentence}`.

use std::any::Any;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::node::App;

pub(super) fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "error": code, "message": message }))).into_response()
}

pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    if !app.table.is_ready() {
        return starting();
    }
    let age = app.table.revocation_age().as_secs();
    Json(json!({ "status": "ok", "revocation_age_seconds": age })).into_response()
}

pub(super) fn starting() -> Response {
    let text = "This node has no configuration yet. Try again in a few seconds.";
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "starting", text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

pub(super) fn busy() -> Response {
    let text = "The gateway has too much to do. Try again in a second.";
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "busy", text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

pub(super) fn no_such_host() -> Response {
    problem(StatusCode::NOT_FOUND, "unknown_host", "There is no workspace at this address. Check its name.")
}

pub(super) async fn no_such_path() -> Response {
    problem(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path. The MCP endpoint is /mcp.")
}

pub(super) fn method_not_allowed(allow: &'static str) -> Response {
    let text = format!("This path takes {allow} only.");
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &text);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that the layer asks for")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> http::Response<axum::body::Body> {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("unknown"), "request handler panicked");
    problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The gateway made a mistake. Try again.")
}
