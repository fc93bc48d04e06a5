//! Reading forms safely: from our own pages only, each field once.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use toolmesh_proto::ids::UserId;
use tower_sessions::Session;

use super::respond::PageError;
use super::session::user_id;
use super::{App, Console};
use crate::credentials::envelope::Vault;
use crate::error::{Error, Result};

/// Makes and checks the token that every form carries: a MAC over a random cookie of this browser and the user, so that
/// neither another site nor another user's page can make one.
#[derive(Clone)]
pub struct FormTokens(hmac::Key);

impl FormTokens {
    /// # Errors
    /// Only if the crypto library refuses.
    pub fn new(vault: &Vault) -> Result<Self> {
        let key = vault.derive("form tokens v1")?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())))
    }

    fn message(nonce: &str, user: Option<UserId>) -> String {
        format!("{nonce}|{}", user.map(|id| id.to_string()).unwrap_or_default())
    }

    pub(super) fn make(&self, nonce: &Nonce, user: Option<UserId>) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, Self::message(&nonce.0, user).as_bytes()))
    }

    fn is_good(&self, nonce: &Nonce, user: Option<UserId>, token: &str) -> bool {
        let Ok(tag) = URL_SAFE_NO_PAD.decode(token) else { return false };
        hmac::verify(&self.0, Self::message(&nonce.0, user).as_bytes(), &tag).is_ok()
    }
}

/// The random value in this browser's cookie; set by the `nonce` layer.
#[derive(Clone)]
pub(super) struct Nonce(String);

impl<S: Send + Sync> FromRequestParts<S> for Nonce {
    type Rejection = PageError;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &S,
    ) -> std::result::Result<Self, PageError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Error::internal("no form nonce").into())
    }
}

/// Sees to it that every browser has a nonce.
pub(super) async fn nonce(State(console): State<App>, mut request: Request, next: Next) -> Response {
    let name = if console.https { "__Host-toolmesh-form" } else { "toolmesh-form" };
    let known = cookie(request.headers(), name).filter(|v| v.len() == 22).map(str::to_owned);
    let mut fresh = None;
    let value = known.unwrap_or_else(|| {
        let value = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        let secure = if console.https { "; Secure" } else { "" };
        fresh = Some(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=604800{secure}"));
        value
    });
    request.extensions_mut().insert(Nonce(value));
    let mut response = next.run(request).await;
    if let Some(value) = fresh.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    all.flat_map(|v| v.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// The fields of a form that came from one of our pages.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// A field's value; empty where it was not sent.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
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
fn same_site(headers: &HeaderMap, console_origin: &str) -> bool {
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
    use super::*;

    #[test]
    fn a_form_token_is_good_only_for_its_browser_and_user() {
        let tokens = FormTokens::new(&Vault::new(&[1; 32]).unwrap()).unwrap();
        let (browser, other) = (Nonce("a".into()), Nonce("b".into()));
        let (ana, ben) = (Some(UserId::new()), Some(UserId::new()));
        let token = tokens.make(&browser, ana);
        assert!(tokens.is_good(&browser, ana, &token));
        assert!(!tokens.is_good(&other, ana, &token));
        assert!(!tokens.is_good(&browser, ben, &token));
        assert!(!tokens.is_good(&browser, None, &token));
        assert!(!tokens.is_good(&browser, ana, ""));
    }

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
