//! Reading forms with large texts and files: from our own pages only, bounded, a few at a time.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Multipart, Request};
use axum::http::Method;
use tokio::sync::OwnedSemaphorePermit;
use tower_sessions::Session;

use super::csrf::Nonce;
use super::forms::same_site;
use super::respond::PageError;
use super::session::user_id;
use super::{App, Console};
use crate::error::Error;

/// Largest request with a file.
pub(super) const MAX_UPLOAD: usize = 17 * 1024 * 1024;
/// Most fields of such a form.
const MAX_FIELDS: usize = 20;

/// The fields of a form that came from one of our pages, as `multipart/form-data` where it has a file. It holds a turn as long as it lives, since
/// what it holds may be large.
pub(super) struct Upload {
    fields: Vec<(String, String)>,
    /// The file's name and text; a file that was not chosen is none.
    pub file: Option<(String, String)>,
    _turn: OwnedSemaphorePermit,
}

impl Upload {
    /// A field's value; empty where it was not sent.
    pub fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }
}

impl FromRequest<App> for Upload {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &App) -> std::result::Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        if parts.method != Method::POST || !same_site(&parts.headers, &state.console_origin) {
            return Err(PageError::Forged);
        }
        let session = Session::from_request_parts(&mut parts, state).await.map_err(|_| PageError::Forged)?;
        let nonce = Nonce::from_request_parts(&mut parts, state).await?;
        let user = user_id(&session).await?;
        // Nobody who is not logged in has anything large to send.
        if user.is_none() {
            return Err(PageError::Forged);
        }
        let header = parts.headers.get("x-csrf-token").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let plain = parts
            .headers
            .get(axum::http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        let turn = state.uploads.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        let request = Request::from_parts(parts, body);
        let good = |token: &str| state.forms.is_good(&nonce, user, token);
        if plain {
            let body = Bytes::from_request(request, state).await.map_err(|_| PageError::Unreadable)?;
            let upload = Self {
                fields: url::form_urlencoded::parse(&body).into_owned().take(MAX_FIELDS).collect(),
                file: None,
                _turn: turn,
            };
            let token = header.as_deref().unwrap_or_else(|| upload.get("_csrf"));
            return if good(token) { Ok(upload) } else { Err(PageError::Forged) };
        }
        let form = Multipart::from_request(request, state).await;
        let mut form = form.map_err(|_| PageError::Unreadable)?;
        let mut upload = Self { fields: Vec::new(), file: None, _turn: turn };
        let mut trusted = header.as_deref().is_some_and(good);
        while let Some(field) = form.next_field().await.map_err(unreadable)? {
            if upload.fields.len() >= MAX_FIELDS {
                return Err(PageError::Unreadable);
            }
            let name = field.name().unwrap_or_default().to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let bytes = field.bytes().await.map_err(unreadable)?;
            // The token stands first in the form, before anything large.
            if !trusted {
                let token = std::str::from_utf8(&bytes).unwrap_or_default();
                if name != "_csrf" || !good(token) {
                    return Err(PageError::Forged);
                }
                trusted = true;
                continue;
            }
            let text = String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| "\0".to_owned());
            match file_name {
                Some(file_name) if !file_name.is_empty() || !text.is_empty() => {
                    upload.file = Some((file_name, text));
                }
                Some(_) => {}
                None => upload.fields.push((name, text)),
            }
        }
        if trusted { Ok(upload) } else { Err(PageError::Forged) }
    }
}

fn unreadable(error: axum::extract::multipart::MultipartError) -> PageError {
    if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        let most = MAX_UPLOAD / (1024 * 1024) - 1;
        return Error::Refused(format!("The file is larger than {most} MB, which is the most that is read."))
            .into();
    }
    PageError::Unreadable
}

/// Turns for uploads of one process.
pub(super) const UPLOADS: usize = 4;

impl Console {
    /// Turns for what is large.
    #[must_use]
    pub fn upload_turns() -> std::sync::Arc<tokio::sync::Semaphore> {
        std::sync::Arc::new(tokio::sync::Semaphore::new(UPLOADS))
    }
}
