//! The answer to who asks too often: when to come back, in words, in a header and for programs, under the request's own id.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Limited};

use super::rate::Exceeded;
use crate::mcp;

/// A body up to this size is read for the request's id.
const READ: usize = 64 << 10;
const WITHIN: Duration = Duration::from_secs(2);

/// Refuses one request.
pub(super) async fn too_often(exceeded: Exceeded, headers: &HeaderMap, body: Body) -> Response {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let read = async {
        match length {
            Some(length) if length <= READ => {
                Limited::new(body, READ).collect().await.ok().map(|whole| whole.to_bytes())
            }
            _ => None,
        }
    };
    let body = tokio::time::timeout(WITHIN, read).await.ok().flatten().unwrap_or_default();
    too_often_for(exceeded, &body)
}

/// The same, for a body that is read already.
pub(super) fn too_often_for(exceeded: Exceeded, body: &[u8]) -> Response {
    let seconds = exceeded.seconds();
    let data = serde_json::json!({
        "limit": exceeded.limit.as_str(),
        "requestsPerMinute": exceeded.per_minute,
        "retryAfterSeconds": seconds,
    });
    let mut response = mcp::refuse_unread(body, StatusCode::TOO_MANY_REQUESTS, &exceeded.to_string(), data);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}
