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
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, AUTHORIZATION,
    ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::admit::refresh;
use super::capacity::Capacity;
use super::{Standing, Visit, page, problem, refused};
use crate::call::Caller;
use crate::call::line::Line;
use crate::identity::Principal;
use crate::mcp;
use crate::node::App;

/// A body that is too large is read on to this many times the limit.
const READ_ON: usize = 8;
/// Most headers of parameters that a page is allowed in one request.
const PARAMS: usize = 64;

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
        Method::POST => post(app, visit, &parts, body).await,
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        Method::GET | Method::HEAD if page::is_asked_for(&parts.method, &parts.headers) => {
            page::workspace(&app, &visit)
        }
        Method::GET if wants_stream(&parts.headers) => open_stream(app, visit, &parts.headers).await,
        // Before any look at a token: clients ask with GET whether there is a stream, and take 401 for something else.
        _ => problem::method_not_allowed("POST"),
    };
    if let Some(origin) = origin {
        share_with(response.headers_mut(), origin, parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS));
    }
    response
}

/// Who is calling, if they may ask now.
async fn admitted(
    app: &Arc<App>,
    visit: &mut Visit,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Principal, Body), Response> {
    // A workspace that has used up its limit costs the others as little as can be: not even its tokens are looked at.
    if let Err(exceeded) = app.rates.look(&visit.tenant) {
        return Err(refused::too_often(exceeded, headers, body).await);
    }
    // Nobody's bodies are not read.
    let principal = refresh(app, visit, headers).map_err(|gone| gone.response(visit))?;
    match app.rates.take(&visit.tenant, &principal) {
        Ok(()) => Ok((principal, body)),
        Err(exceeded) => Err(refused::too_often(exceeded, headers, body).await),
    }
}

async fn post(app: Arc<App>, mut visit: Visit, parts: &Parts, body: Body) -> Response {
    let (start, headers) = (Instant::now(), &parts.headers);
    let body = match admitted(&app, &mut visit, headers, body).await {
        Ok((_, body)) => body,
        Err(response) => return response,
    };
    let identified_in = start.elapsed();
    let body = match read(&app, &mut visit, body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    match refresh(&app, &mut visit, headers) {
        Ok(principal) => {
            // The first is counted; a batch is as many requests as it holds messages.
            let mut more = 1..mcp::messages_in(&body);
            if let Some(exceeded) = more.find_map(|_| app.rates.take(&visit.tenant, &principal).err()) {
                return refused::too_often_for(exceeded, &body);
            }
            let standing = Standing::new(Arc::clone(&app), visit.tenant.id, headers);
            // Whoever reads the message says how its caller is reached.
            let line = Line::silent(CancellationToken::new());
            let caller = Caller { app, visit, principal, standing, identified_in, line };
            match stream_of(&parts.uri) {
                None => mcp::answer(caller, headers, &body).await,
                Some(stream) => mcp::http_sse::post(caller, headers, body, stream).await,
            }
        }
        Err(gone) => gone.response(&visit),
    }
}

/// A stream of the oldest transport, for whoever is known.
async fn open_stream(app: Arc<App>, mut visit: Visit, headers: &HeaderMap) -> Response {
    let start = Instant::now();
    match admitted(&app, &mut visit, headers, Body::empty()).await {
        Ok((principal, _)) => {
            let standing = Standing::new(Arc::clone(&app), visit.tenant.id, headers);
            let line = Line::silent(CancellationToken::new());
            let identified_in = start.elapsed();
            mcp::http_sse::open(&Caller { app, visit, principal, standing, identified_in, line })
        }
        Err(response) => response,
    }
}

/// The stream of the oldest transport that a POST belongs to.
fn stream_of(uri: &Uri) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    let mut streams = pairs.filter(|(name, _)| name == mcp::http_sse::STREAM);
    streams.next().map(|(_, stream)| stream.into_owned())
}

/// Whether a GET asks for the stream of revision 2024-11-05. Later clients ask in vain for a stream of their own: they send
/// their revision, a session, or what they heard last. One that shows no token is told that there is none, too: some take a
/// 401 here for the end, and find out how to log in with their first POST.
fn wants_stream(headers: &HeaderMap) -> bool {
    let later = ["mcp-protocol-version", "mcp-session-id", "last-event-id"];
    headers.contains_key(AUTHORIZATION)
        && accepts(headers, "text/event-stream")
        && !later.iter().any(|name| headers.contains_key(*name))
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

/// The request's origin, if it has one; only pages of the console, of this host and of the origins that the workspace lists
/// may call from a browser.
fn allowed_origin(
    app: &App,
    visit: &Visit,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, ForeignOrigin> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(None) };
    let given = origin.as_bytes();
    let listed = visit.tenant.browser_origins.iter().any(|listed| listed.as_bytes() == given);
    let ours = listed
        || given == visit.tenant.origin.as_bytes()
        || given == app.table.settings().console_origin.as_bytes();
    if ours && !given.is_empty() { Ok(Some(origin.clone())) } else { Err(ForeignOrigin) }
}

/// What a page may send. Names of parameters stand in headers of their own (2026-07-28), so that what it asks for is allowed
/// as it asks; every header is looked at like any other client's.
fn headers_allowed(asked: Option<&HeaderValue>) -> HeaderValue {
    const ALWAYS: &str = "authorization, content-type, accept, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, last-event-id";
    let asked = asked.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let params = asked.split(',').map(|name| name.trim().to_ascii_lowercase());
    let sound = |name: &String| {
        name.starts_with("mcp-param-")
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let all = params.filter(sound).take(PARAMS).fold(ALWAYS.to_owned(), |all, name| all + ", " + &name);
    HeaderValue::try_from(all).unwrap_or(HeaderValue::from_static(ALWAYS))
}

fn share_with(headers: &mut HeaderMap, origin: HeaderValue, asked: Option<&HeaderValue>) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(VARY, HeaderValue::from_static("origin"));
    // Clients end a session with DELETE and take 405 for an answer, which pages see only if they may ask.
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers_allowed(asked));
    let exposed = "mcp-session-id, www-authenticate, x-request-id, retry-after";
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

/// Whether a client takes this type.
pub(super) fn accepts(headers: &HeaderMap, media: &str) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.map(str::to_ascii_lowercase).any(|accept| accept.contains(media))
}
