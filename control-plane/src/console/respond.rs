//! From errors to pages, in one place; and the headers that every page has.

use std::time::Instant;

use askama::Template;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use toolmesh_proto::ids::RequestId;

use super::view::ErrorPage;
use crate::error::Error;

pub(super) type Page = Result<Response, PageError>;

/// An error on its way to a page.
#[derive(Debug)]
pub(super) enum PageError {
    Failed(Error),
    /// Not logged in: log in, and come back to this path.
    LogIn(String),
    /// Logged in too long ago for this: prove again who you are, and come back to this path.
    Confirm(String),
    /// The workspace asks for a second factor: add one, and come back to this path.
    AddFactor(String),
    /// A form without our token, or from another site.
    Forged,
    /// A form that cannot be read.
    Unreadable,
}

impl<E: Into<Error>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What `page_errors` needs to draw the page.
#[derive(Clone)]
struct ErrorInfo(Option<String>);

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::LogIn(next) => return Redirect::to(&login_address(&next)).into_response(),
            Self::Confirm(next) => return Redirect::to(&confirm_address(&next)).into_response(),
            Self::AddFactor(next) => return Redirect::to(&add_factor_address(&next)).into_response(),
            Self::Forged => (StatusCode::FORBIDDEN, None),
            Self::Unreadable => (StatusCode::BAD_REQUEST, None),
            Self::Failed(error) => failed(&error),
        };
        let mut response = status.into_response();
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response.extensions_mut().insert(ErrorInfo(text));
        response
    }
}

fn failed(error: &Error) -> (StatusCode, Option<String>) {
    if matches!(error, Error::Db(_) | Error::Internal(_)) {
        tracing::error!(error = ?error, "page failed");
    }
    (status_of(error), Some(sentence(error)).filter(|text| !text.is_empty()))
}

/// The HTTP status of an error.
pub(super) const fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Field { .. } | Error::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::NotFound => StatusCode::NOT_FOUND,
        Error::Gone(_) => StatusCode::GONE,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Error::Db(_) | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What a person is told of an error; empty where the page's own words are all there is to say.
pub(super) fn sentence(error: &Error) -> String {
    match error {
        Error::Field { message, .. } | Error::Refused(message) => message.clone(),
        Error::Gone(text) | Error::Forbidden(text) => (*text).to_owned(),
        Error::TooMany(seconds) => format!("Too many attempts. Try again in {seconds} seconds."),
        Error::Busy => "The console is busy. Try again in a few seconds.".to_owned(),
        Error::NotFound | Error::Db(_) | Error::Internal(_) => String::new(),
    }
}

/// Where to log in with a way back.
pub(super) fn login_address(next: &str) -> String {
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    format!("/login?next={next}")
}

/// Where to prove again who one is, with a way back.
pub(super) fn confirm_address(next: &str) -> String {
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    format!("/account/confirm?next={next}")
}

/// Where to add a second factor with a way back.
pub(super) fn add_factor_address(next: &str) -> String {
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    format!("/account/security?next={next}")
}

/// Prints a page.
pub(super) fn page(template: &impl Template) -> Page {
    with_status(StatusCode::OK, template)
}

/// Prints a page with another status, such as a form that has to be mended.
pub(super) fn with_status(status: StatusCode, template: &impl Template) -> Page {
    let html = template.render().map_err(Error::internal)?;
    let mut response = (status, Html(html)).into_response();
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
    }
    Ok(response)
}

pub(super) fn see_other(path: &str) -> Page {
    Ok(Redirect::to(path).into_response())
}

pub(super) async fn not_found() -> PageError {
    PageError::Failed(Error::NotFound)
}

/// Gives every request an id, draws the pages of errors, and logs what was asked and answered.
pub(super) async fn page_errors(request: Request, next: Next) -> Response {
    let id = RequestId::new().to_string();
    let fragment = request.headers().contains_key("hx-request");
    let (method, started) = (request.method().clone(), Instant::now());
    // Without the query, which may hold a token of a mail.
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let drawn = response.extensions_mut().remove::<ErrorInfo>();
    let status = response.status();
    let bare = matches!(
        status,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_REQUEST
    ) && !response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"text/html"));
    if drawn.is_some() || bare {
        let mut page = ErrorPage::of_status(status.as_u16(), id.clone());
        if let Some(text) = drawn.and_then(|info| info.0) {
            page = page.saying(text);
        }
        // A fragment's place is too small for a page: the message itself says what happened.
        let body = if fragment { Ok(page.text.clone()) } else { page.render() };
        // The answer's other headers stay: a cookie that was set must not be lost.
        *response.body_mut() = Body::from(body.unwrap_or_default());
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(%method, path, status = status.as_u16(), millis, request_id = id, "page");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
