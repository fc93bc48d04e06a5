//! Reading forms safely: from our own pages only, each field once.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::{HeaderMap, Method};
use secrecy::SecretString;
use tower_sessions::Session;

use super::csrf::Nonce;
use super::respond::PageError;
use super::session::user_id;
use super::{App, Console};

/// The fields of a form that came from one of our pages.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// A field's value; empty where it was not sent.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// All values of a field that may be sent several times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A secret; read once, never printed.
    pub fn secret(&self, name: &str) -> SecretString {
        SecretString::from(self.get(name).to_owned())
    }

    /// All secrets whose field starts with a prefix, by the rest of the name.
    pub fn secrets(&self, prefix: &str) -> Vec<(String, SecretString)> {
        let named = self.0.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value)));
        named.map(|(name, value)| (name.to_owned(), SecretString::from(value.clone()))).collect()
    }
}

impl FromRequest<Arc<Console>> for Fields {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &App) -> std::result::Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        if parts.method != Method::POST || !same_site(&parts.headers, &state.console_origin) {
            return Err(PageError::Forged);
        }
        let session = Session::from_request_parts(&mut parts, state).await.map_err(|_| PageError::Forged)?;
        let nonce = Nonce::from_request_parts(&mut parts, state).await?;
        let header = parts.headers.get("x-csrf-token").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let request = Request::from_parts(parts, body);
        let body = Bytes::from_request(request, state).await.map_err(|_| PageError::Unreadable)?;
        let fields = Self(url::form_urlencoded::parse(&body).into_owned().collect());
        let user = user_id(&session).await?;
        let token = header.as_deref().unwrap_or_else(|| fields.get("_csrf"));
        if state.forms.is_good(&nonce, user, token) { Ok(fields) } else { Err(PageError::Forged) }
    }
}

/// Whether the browser says that the request comes from our own pages. A browser always says one of the two; what says
/// neither is no browser, and has the token to show.
pub(super) fn same_site(headers: &HeaderMap, console_origin: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let site = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    // A page with `Referrer-Policy: no-referrer` sends `Origin: null` with its forms; the fetch metadata decide then.
    let origin = match text("origin") {
        None => true,
        Some("null") => text("sec-fetch-site").is_some(),
        Some(origin) => origin == console_origin,
    };
    site && origin
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_form_from_another_site_is_refused() {
        let check = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            same_site(&headers, "https://app.example.com")
        };
        assert!(check(&[("origin", "https://app.example.com"), ("sec-fetch-site", "same-origin")]));
        assert!(check(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        assert!(check(&[]));
        assert!(!check(&[("origin", "https://evil.example")]));
        assert!(!check(&[("origin", "null")]));
        assert!(!check(&[("origin", "https://app.example.com"), ("sec-fetch-site", "cross-site")]));
        assert!(!check(&[("origin", "https://acme.example.com"), ("sec-fetch-site", "same-site")]));
    }
}
