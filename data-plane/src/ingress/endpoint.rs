//! `/mcp`: who may post here, and what is posted.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use time::OffsetDateTime;

use super::{Visit, page, problem};
use crate::identity::{IdentityError, authenticate, challenge};
use crate::mcp;
use crate::node::App;

/// A body that is too large is read on to this many times the limit.
const READ_ON: usize = 8;

/// Answers every method on `/mcp`.
pub(super) async fn mcp(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let origin = match allowed_origin(&app, &visit, &parts.headers) {
        Ok(origin) => origin,
        Err(ForeignOrigin) => {
            let text = "Pages of this origin may not call this endpoint.";
            return problem::problem(StatusCode::FORBIDDEN, "foreign_origin", text);
        }
    };
    let mut response = match parts.method {
        Method::POST => post(app, visit, &parts.headers, body).await,
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        Method::GET | Method::HEAD if wants_page(&parts.headers) => page::workspace(&app, &visit),
        // Before any look at a token: clients ask with GET whether there is a stream, and take 401 for something else.
        _ => problem::method_not_allowed("POST"),
    };
    if let Some(origin) = origin {
        share_with(response.headers_mut(), origin);
    }
    response
}

async fn post(app: Arc<App>, visit: Visit, headers: &HeaderMap, body: Body) -> Response {
    let start = Instant::now();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let principal = match authenticate(&visit.tenant, &app.table.keys(), headers, now) {
        Ok(principal) => principal,
        Err(error) => return unauthorized(&visit, error),
    };
    let identified_in = start.elapsed();
    let body = match read(&app, body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    mcp::answer(mcp::Context { app, visit, principal, identified_in }, headers, &body).await
}

fn unauthorized(visit: &Visit, error: IdentityError) -> Response {
    tracing::debug!(tenant = %visit.tenant.id, request_id = %visit.request_id, %error, "caller not known");
    let (status, header) = challenge::challenge(&visit.tenant.origin, error)
        .unwrap_or((StatusCode::UNAUTHORIZED, HeaderValue::from_static("Bearer")));
    let body = Json(json!({ "error": challenge::code(error), "error_description": error.to_string() }));
    (status, [(WWW_AUTHENTICATE, header)], body).into_response()
}

async fn read(app: &App, body: Body) -> Result<Bytes, Response> {
    match tokio::time::timeout(app.limits.request_read, collect(body, app.limits.request_bytes)).await {
        Ok(Ok(Some(whole))) => Ok(whole),
        Ok(Ok(None)) => {
            let text = format!("A request may have at most {} MiB.", app.limits.request_bytes >> 20);
            Err(problem::problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &text))
        }
        Ok(Err(_)) => Err(problem::problem(StatusCode::BAD_REQUEST, "broken", "The request broke off.")),
        Err(_) => {
            Err(problem::problem(StatusCode::REQUEST_TIMEOUT, "too_slow", "The request took too long."))
        }
    }
}

/// The body, or `None` for one that is too large. A body somewhat too large is read to its end and thrown away: whoever is
/// still sending when the answer comes may never see it.
async fn collect(mut body: Body, most: usize) -> Result<Option<Bytes>, axum::Error> {
    let (mut whole, mut length) = (BytesMut::new(), 0_usize);
    while let Some(frame) = body.frame().await.transpose()? {
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > most.saturating_mul(READ_ON) {
            return Ok(None);
        }
        if length <= most {
            whole.extend_from_slice(&data);
        } else {
            whole.clear();
        }
    }
    Ok((length <= most).then(|| whole.freeze()))
}

/// A page that may not call.
struct ForeignOrigin;

/// The request's origin, if it has one; only pages of the console and of this host may call from a browser.
fn allowed_origin(
    app: &App,
    visit: &Visit,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, ForeignOrigin> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(None) };
    let given = origin.as_bytes();
    let ours =
        given == visit.tenant.origin.as_bytes() || given == app.table.settings().console_origin.as_bytes();
    if ours && !given.is_empty() { Ok(Some(origin.clone())) } else { Err(ForeignOrigin) }
}

fn share_with(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(VARY, HeaderValue::from_static("origin"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    let allowed = "authorization, content-type, accept, mcp-protocol-version, mcp-session-id, last-event-id";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("www-authenticate, x-request-id"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/html")
}
