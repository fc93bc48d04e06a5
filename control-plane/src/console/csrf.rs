//! The token that every form carries, and the random cookie it is bound to.

use aws_lc_rs::hmac;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use toolmesh_proto::ids::UserId;

use super::App;
use super::respond::PageError;
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

    pub(super) fn is_good(&self, nonce: &Nonce, user: Option<UserId>, token: &str) -> bool {
        let Ok(tag) = URL_SAFE_NO_PAD.decode(token) else { return false };
        hmac::verify(&self.0, Self::message(&nonce.0, user).as_bytes(), &tag).is_ok()
    }
}

/// The random value in this browser's cookie; set by the `nonce` layer. It also tells a browser that logs in again from one that
/// was never seen.
#[derive(Clone)]
pub(super) struct Nonce(String);

impl Nonce {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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
        fresh = Some(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000{secure}"));
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
}
