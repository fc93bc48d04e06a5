//! The endpoints that clients call without a browser: registration, token, revocation, keys. JSON in and out, no session.

use std::borrow::Cow;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Oauth;
use super::clients::authentication::said;
use super::clients::registered::{Registration, RegistrationError};
use super::refusals::{Endpoint, Refused};
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
            TokenError::InvalidGrant(_) | TokenError::InvalidAssertion(_) => {
                Self(StatusCode::BAD_REQUEST, "invalid_grant", text)
            }
            TokenError::InvalidTarget => Self(StatusCode::BAD_REQUEST, "invalid_target", text),
            TokenError::UnsupportedGrantType => Self(StatusCode::BAD_REQUEST, "unsupported_grant_type", text),
            TokenError::InvalidClient { .. } => Self(StatusCode::UNAUTHORIZED, "invalid_client", text),
            TokenError::UnauthorizedClient(_) => Self(StatusCode::BAD_REQUEST, "unauthorized_client", text),
            TokenError::Internal(error) => error.into(),
        }
    }
}

impl From<RegistrationError> for OauthError {
    fn from(error: RegistrationError) -> Self {
        let text = error.to_string();
        match error {
            RegistrationError::RedirectUri => Self(StatusCode::BAD_REQUEST, "invalid_redirect_uri", text),
            RegistrationError::TooLong | RegistrationError::AuthMethod | RegistrationError::Keys(_) => {
                Self(StatusCode::BAD_REQUEST, "invalid_client_metadata", text)
            }
            RegistrationError::Internal(error) => error.into(),
        }
    }
}

/// A request to one of the endpoints, as far as a refusal has to say it.
struct Asked<'a> {
    oauth: &'a Oauth,
    tenant: &'a Tenant,
    endpoint: Endpoint,
    address: &'a ClientAddress,
    client_id: Cow<'a, str>,
}

impl Asked<'_> {
    /// Keeps a refusal for the admins, and answers it.
    async fn refuse(&self, error: impl Into<OauthError>) -> Response {
        let error = error.into();
        let refused = Refused {
            endpoint: self.endpoint,
            client_id: &self.client_id,
            error: error.1,
            reason: &error.2,
            address: self.address.as_str(),
        };
        self.oauth.note_refusal(self.tenant.id, refused).await;
        error.into_response()
    }

    /// The same; what was tried over Basic is refused over Basic (RFC 6749, section 5.2).
    async fn refuse_token(&self, error: TokenError) -> Response {
        let basic = matches!(error, TokenError::InvalidClient { basic: true, .. });
        let response = self.refuse(error).await;
        if basic {
            with_header(response, header::WWW_AUTHENTICATE, "Basic realm=\"oauth\"")
        } else {
            response
        }
    }
}

/// Registration is open to the world, and the world is not let in all at once.
fn busy(error: Error) -> Response {
    let Error::TooMany(seconds) = error else { return OauthError::from(error).into_response() };
    let text = format!("too many clients register; try again in {seconds} seconds");
    let mut response = OauthError(StatusCode::TOO_MANY_REQUESTS, "slow_down", text).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

async fn tenant(state: &OauthState, slug: &str) -> Result<Tenant, Response> {
    tenants::by_slug(&state.db, slug).await.map_err(|e| OauthError::from(e).into_response())
}

/// Lets pages of any origin call these endpoints, as clients that run in a browser do: none of them knows cookies.
pub async fn any_origin(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, mcp-protocol-version"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `POST /oauth/{slug}/register` (RFC 7591).
pub async fn register(
    State(state): State<OauthState>,
    Path(slug): Path<String>,
    address: ClientAddress,
    body: Bytes,
) -> Result<Response, Response> {
    let tenant = tenant(&state, &slug).await?;
    // Not kept for the admins: a flood is nothing that they could mend.
    state.oauth.may_register(tenant.id, &address.network()).map_err(busy)?;
    let asked = Asked {
        oauth: &state.oauth,
        tenant: &tenant,
        endpoint: Endpoint::Register,
        address: &address,
        client_id: Cow::Borrowed(""),
    };
    match registered(&state.oauth, &tenant, &body) {
        Ok(answer) => Ok(no_store((StatusCode::CREATED, Json(answer)).into_response())),
        Err(error) => Err(asked.refuse(error).await),
    }
}

fn registered(oauth: &Oauth, tenant: &Tenant, body: &[u8]) -> Result<Value, OauthError> {
    let wrong = |status, text| OauthError(status, "invalid_client_metadata", text);
    if body.len() > MAX_REGISTRATION {
        return Err(wrong(StatusCode::PAYLOAD_TOO_LARGE, "a registration has 8 KiB at most".to_owned()));
    }
    let registration: Registration = serde_json::from_slice(body)
        .map_err(|e| wrong(StatusCode::BAD_REQUEST, format!("the body is no registration in JSON: {e}")))?;
    Ok(oauth.register(tenant.id, registration)?)
}

/// `POST /oauth/{slug}/token`.
pub async fn token(
    State(state): State<OauthState>,
    Path(slug): Path<String>,
    address: ClientAddress,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let tenant = tenant(&state, &slug).await?;
    let mut asked = Asked {
        oauth: &state.oauth,
        tenant: &tenant,
        endpoint: Endpoint::Token,
        address: &address,
        client_id: Cow::Borrowed(""),
    };
    let request = match form(&headers, &body) {
        Ok(request) => request,
        Err(error) => return Err(asked.refuse(error).await),
    };
    asked.client_id = said(&headers, &request);
    match state.oauth.token(&tenant, &headers, &request).await {
        Ok(answer) => Ok(no_store(Json(answer).into_response())),
        Err(error) => Err(asked.refuse_token(error).await),
    }
}

/// `POST /oauth/{slug}/revoke` (RFC 7009).
pub async fn revoke(
    State(state): State<OauthState>,
    Path(slug): Path<String>,
    address: ClientAddress,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let tenant = tenant(&state, &slug).await?;
    let mut asked = Asked {
        oauth: &state.oauth,
        tenant: &tenant,
        endpoint: Endpoint::Revoke,
        address: &address,
        client_id: Cow::Borrowed(""),
    };
    let request = match form(&headers, &body) {
        Ok(request) => request,
        Err(error) => return Err(asked.refuse(error).await),
    };
    asked.client_id = said(&headers, &request);
    match state.oauth.revoke(&tenant, &headers, &request).await {
        Ok(()) => Ok(no_store(StatusCode::OK.into_response())),
        Err(error) => Err(asked.refuse_token(error).await),
    }
}

/// `GET /oauth/{slug}/jwks.json` (RFC 7517).
pub async fn jwks(
    State(state): State<OauthState>,
    Path(slug): Path<String>,
) -> Result<Json<Value>, Response> {
    tenant(&state, &slug).await?;
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
