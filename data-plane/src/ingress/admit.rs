//! From a request to a visit: which tenant its host names, or none, and whether that is still so later; and the headers
//! every response carries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, USER_AGENT,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde_json::json;
use time::OffsetDateTime;
use toolmesh_proto::ids::RequestId;
use toolmesh_proto::slug::host_of;

use super::client_ip::client_ip;
use super::{Visit, page, problem};
use crate::identity::{IdentityError, Principal, authenticate, challenge};
use crate::node::App;

const REQUEST_ID: &str = "x-request-id";

pub(super) async fn admit(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let request_id = RequestId::new();
    let tenant = host(request.uri(), request.headers()).and_then(|host| app.table.tenant(&host));
    let secure = tenant.as_ref().is_some_and(|tenant| tenant.origin.starts_with("https://"));
    let mut response = match tenant {
        Some(tenant) => {
            let agent =
                request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let client_agent = agent.chars().take(200).collect();
            let remote_addr = client_ip(peer.ip(), request.headers(), &app.trusted_proxies);
            request.extensions_mut().insert(Visit {
                tenant,
                request_id,
                remote_addr,
                client_agent,
                started,
                body: None,
            });
            next.run(request).await
        }
        // Which workspaces there are is not known yet, so none can be said not to be.
        None if !app.table.is_ready() => problem::starting(),
        None if page::is_asked_for(request.method(), request.headers()) => page::nobody(&app),
        None => problem::no_such_host(),
    };
    dress(response.headers_mut(), request_id, secure);
    response
}

/// What there is nobody to answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    Tenant,
    Caller(IdentityError),
}

impl Gone {
    pub(super) fn response(self, visit: &Visit) -> Response {
        match self {
            Self::Tenant => problem::no_such_host(),
            Self::Caller(error) => unauthorized(visit, error),
        }
    }
}

/// Looks again who is calling, with what is in force now: while a body came in or a batch went on, the caller may have been
/// removed.
///
/// # Errors
/// When the caller is nobody, or nobody any more.
pub fn refresh(app: &App, visit: &mut Visit, headers: &HeaderMap) -> Result<Principal, Gone> {
    visit.tenant = app.table.tenant_by_id(visit.tenant.id).ok_or(Gone::Tenant)?;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    authenticate(&visit.tenant, &app.table.keys(), &app.table.revoked(), headers, now).map_err(Gone::Caller)
}

fn unauthorized(visit: &Visit, error: IdentityError) -> Response {
    tracing::debug!(tenant = %visit.tenant.id, request_id = %visit.request_id, %error, "caller not known");
    let (status, header) = challenge::challenge(&visit.tenant.origin, error)
        .unwrap_or((StatusCode::UNAUTHORIZED, HeaderValue::from_static("Bearer")));
    let body = Json(json!({ "error": challenge::code(error), "error_description": error.to_string() }));
    (status, [(WWW_AUTHENTICATE, header)], body).into_response()
}

/// The host that a request names, if it names exactly one.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if let Some(authority) = uri.authority() {
        return host_of(authority.as_str());
    }
    let mut values = headers.get_all(HOST).iter();
    let host = values.next()?;
    if values.next().is_some() {
        return None;
    }
    host_of(host.to_str().ok()?)
}

fn dress(headers: &mut HeaderMap, request_id: RequestId, secure: bool) {
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ));
    headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    );
    if secure {
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=63072000; includeSubDomains"),
        );
    }
}
