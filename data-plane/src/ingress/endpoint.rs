//! `/mcp`: who may post here, and what is posted.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::admit::refresh;
use super::capacity::Capacity;
use super::{Standing, Visit, page, problem};
use crate::call::Caller;
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

async fn post(app: Arc<App>, mut visit: Visit, headers: &HeaderMap, body: Body) -> Response {
    let start = Instant::now();
    // Nobody's bodies are not read.
    if let Err(gone) = refresh(&app, &mut visit, headers) {
        return gone.response(&visit);
    }
    let identified_in = start.elapsed();
    let body = match read(&app, &mut visit, body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    match refresh(&app, &mut visit, headers) {
        Ok(principal) => {
            let standing = Standing::new(Arc::clone(&app), visit.tenant.id, headers);
            let caller = Caller { app, visit, principal, standing, identified_in };
            mcp::answer(caller, headers, &body).await
        }
        Err(gone) => gone.response(&visit),
    }
}

/// Why a body is not whole.
#[derive(Debug)]
enum Unread {
    TooLarge,
    NoRoom,
    Broken,
}

async fn read(app: &App, visit: &mut Visit, body: Body) -> Result<Bytes, Response> {
    let most = app.limits.request_bytes;
    let collected = tokio::time::timeout(app.limits.request_read, collect(body, most, &app.capacity)).await;
    match collected {
        Ok(Ok((whole, room))) => {
            visit.body = room.map(Arc::new);
            Ok(whole)
        }
        Ok(Err(Unread::TooLarge)) => {
            let text = format!("A request may have at most {} MiB.", most >> 20);
            Err(problem::problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &text))
        }
        Ok(Err(Unread::NoRoom)) => Err(problem::busy()),
        Ok(Err(Unread::Broken)) => {
            Err(problem::problem(StatusCode::BAD_REQUEST, "broken", "The request broke off."))
        }
        Err(_) => {
            Err(problem::problem(StatusCode::REQUEST_TIMEOUT, "too_slow", "The request took too long."))
        }
    }
}

/// The body and the room it takes. A body somewhat too large is read to its end and thrown away: whoever is still sending
/// when the answer comes may never see it.
async fn collect(
    mut body: Body,
    most: usize,
    capacity: &Capacity,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Unread> {
    let (mut whole, mut length) = (BytesMut::new(), 0_usize);
    let mut room: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await.transpose().map_err(|_| Unread::Broken)? {
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > most.saturating_mul(READ_ON) {
            return Err(Unread::TooLarge);
        }
        if length > most {
            (whole, room) = (BytesMut::new(), None);
            continue;
        }
        let more = capacity.bytes(data.len()).ok_or(Unread::NoRoom)?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
        whole.extend_from_slice(&data);
    }
    if length > most { Err(Unread::TooLarge) } else { Ok((whole.freeze(), room)) }
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
