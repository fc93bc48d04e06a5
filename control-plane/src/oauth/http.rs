//! The endpoints that clients call without a browser: registration, token, revocation, keys. JSON in and out, no session.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Oauth;
use super::clients::registered::{Registration, RegistrationError};
use super::tokens::{TokenError, TokenRequest};
use crate::db::Db;
use crate::error::Error;
use crate::peer::ClientAddress;
use crate::tenants::{self, Tenant};

/// Largest registration, in bytes.
const MAX_REGISTRATION: usize = 8 * 1024;

/// What these handlers need.
#[derive(Clone)]
pub struct OauthState {
    pub oauth: Oauth,
    pub db: Db,
}

/// An error in the form of RFC 6749, section 5.2.
struct OauthError(StatusCode, &'static str, String);

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let Self(status, error, description) = self;
        let body = Json(json!({ "error": error, "error_description": description }));
        no_store((status, body).into_response())
    }
}

impl From<Error> for OauthError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => {
                Self(StatusCode::NOT_FOUND, "not_found", "there is no such workspace".to_owned())
            }
            error => {
                tracing::error!(error = ?error, "oauth endpoint failed");
                Self(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "try again in a moment".to_owned())
            }
        }
    }
}

impl From<TokenError> for OauthError {
    fn from(error: TokenError) -> Self {
        let text = error.to_string();
        match error {
            TokenError::InvalidRequest(_) => Self(StatusCode::BAD_REQUEST, "invalid_request", text),
            TokenError::InvalidGrant(_) => Self(StatusCode::BAD_REQUEST, "invalid_grant", text),
            TokenError::InvalidTarget => Self(StatusCode::BAD_REQUEST, "invalid_target", text),
            TokenError::UnsupportedGrantType => Self(StatusCode::BAD_REQUEST, "unsupported_grant_type", text),
            TokenError::InvalidClient { .. } => Self(StatusCode::UNAUTHORIZED, "invalid_client", text),
            TokenError::UnauthorizedClient(_) => Self(StatusCode::BAD_REQUEST, "unauthorized_client", text),
            TokenError::Internal(error) => error.into(),
        }
    }
}

/// The answer to an error; what was tried over Basic is refused over Basic (RFC 6749, section 5.2).
fn challenged(error: TokenError, refuse: impl Fn(OauthError) -> Response) -> Response {
    let basic = matches!(error, TokenError::InvalidClient { basic: true, .. });
    let response = refuse(error.into());
    if basic { with_header(response, header::WWW_AUTHENTICATE, "Basic realm=\"oauth\"") } else { response }
}

/// Registration is open to the world, and the world is not let in all at once.
fn busy(error: Error) -> Response {
    let Error::TooMany(seconds) = error else { return OauthError::from(error).into_response() };
    let text = format!("too many clients register; try again in {seconds} seconds");
    let mut response = OauthError(StatusCode::TOO_MANY_REQUESTS, "slow_down", text).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

async fn tenant(state: &OauthState, slug: &str) -> Result<Tenant, OauthError> {
    Ok(tenants::by_slug(&state.db, slug).await?)
}

/// `POST /oauth/{slug}/register` (RFC 7591).
pub async fn register(
    State(state): State<OauthState>,
    Path(slug): Path<String>,
    address: ClientAddress,
    body: Bytes,
) -> Result<Response, Response> {
    let tenant = tenant(&state, &slug).await.map_err(IntoResponse::into_response)?;
    if let Err(error) = state.oauth.may_register(tenant.id, &address.network()) {
        return Err(busy(error));
    }
    if body.len() > MAX_REGISTRATION {
        let text = "a registration has 8 KiB at most".to_owned();
        return Err(
            OauthError(StatusCode::PAYLOAD_TOO_LARGE, "invalid_client_metadata", text).into_response()
        );
    }
    let bad = |error, text: String| OauthError(StatusCode::BAD_REQUEST, error, text).into_response();
    let registration: Registration = serde_json::from_slice(&body)
        .map_err(|e| bad("invalid_client_metadata", format!("the body is no registration in JSON: {e}")))?;
    let answer = state.oauth.register(tenant.id, registration).map_err(|e| match e {
        RegistrationError::RedirectUri => bad("invalid_redirect_uri", e.to_string()),
        RegistrationError::TooLong | RegistrationError::AuthMethod | RegistrationError::Keys(_) => {
            bad("invalid_client_metadata", e.to_string())
        }
        RegistrationError::Internal(e) => OauthError::from(e).into_response(),
    })?;
    Ok(no_store((StatusCode::CREATED, Json(answer)).into_response()))
}

/// `POST /oauth/{slug}/token`.
pub async fn token(
    State(state): State<OauthState>,
    Path(slug): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let refuse = |error: OauthError| {
        tracing::info!(slug, error = error.1, reason = error.2, "token request refused");
        error.into_response()
    };
    let tenant = tenant(&state, &slug).await.map_err(refuse)?;
    let request = form(&headers, &body).map_err(refuse)?;
    let answer = state.oauth.token(&tenant, &headers, &request).await.map_err(|e| challenged(e, refuse))?;
    Ok(no_store(Json(answer).into_response()))
}

/// `POST /oauth/{slug}/revoke` (RFC 7009).
pub async fn revoke(
    State(state): State<OauthState>,
    Path(slug): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let tenant = tenant(&state, &slug).await.map_err(IntoResponse::into_response)?;
    let request = form(&headers, &body).map_err(IntoResponse::into_response)?;
    let refuse = OauthError::into_response;
    state.oauth.revoke(&tenant, &headers, &request).await.map_err(|e| challenged(e, refuse))?;
    Ok(no_store(StatusCode::OK.into_response()))
}

/// `GET /oauth/{slug}/jwks.json` (RFC 7517).
pub async fn jwks(
    State(state): State<OauthState>,
    Path(slug): Path<String>,
) -> Result<Json<Value>, Response> {
    tenant(&state, &slug).await.map_err(IntoResponse::into_response)?;
    Ok(Json(state.oauth.keys().jwks()))
}

/// A form, with no parameter twice (RFC 6749, section 3.2).
fn form(headers: &HeaderMap, body: &[u8]) -> Result<TokenRequest, OauthError> {
    let bad = |text: &str| OauthError(StatusCode::BAD_REQUEST, "invalid_request", text.to_owned());
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(bad("send the parameters as application/x-www-form-urlencoded"));
    }
    let mut seen = serde_json::Map::new();
    for (key, value) in url::form_urlencoded::parse(body) {
        if seen.insert(key.into_owned(), Value::String(value.into_owned())).is_some() {
            return Err(bad("a parameter was sent twice"));
        }
    }
    serde_json::from_value(Value::Object(seen)).map_err(|_| bad("the parameters cannot be read"))
}

fn no_store(response: Response) -> Response {
    with_header(response, header::CACHE_CONTROL, "no-store")
}

fn with_header(mut response: Response, name: header::HeaderName, value: &'static str) -> Response {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}
