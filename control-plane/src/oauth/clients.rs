//! Clients: dynamic registration (RFC 7591) without a row.
//!
//! What a client registers is sealed into the client id that it gets; the row is written with the first consent. So
//! registration, which is open to the world, costs no storage, and a client that nobody uses leaves no trace.

use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use toolmesh_proto::claims::SCOPE_TOOLS;
use toolmesh_proto::ids::TenantId;

use super::redirect;
use super::store::Client;
use super::{Oauth, store};
use crate::accounts::is_invisible;
use crate::accounts::throttle::ClientNetwork;
use crate::db::TenantTx;
use crate::error::Result;

const PREFIX: &str = "dcr_";
const MAX_REDIRECTS: usize = 10;
const MAX_CLIENT_ID: usize = 2000;

/// A registration that led to no consent is forgotten after this many seconds.
const UNUSED_LIFE: i64 = 24 * 3600;

/// The body of a registration; unknown members are ignored (RFC 7591, section 2).
#[derive(Deserialize)]
pub struct Registration {
    #[serde(default)]
    redirect_uris: Vec<String>,
    client_name: Option<String>,
    client_uri: Option<String>,
}

/// What is sealed into a client id.
#[derive(Serialize, Deserialize)]
struct Sealed {
    t: TenantId,
    n: String,
    r: Vec<String>,
    i: i64,
}

/// Why a registration was refused (RFC 7591, section 3.2.2).
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error(
        "redirect_uris must hold at least one https URL, http URL on localhost, or application's own scheme"
    )]
    RedirectUri,
    #[error("the redirect URIs are too many or too long: at most 10, together under 1,000 characters")]
    TooLong,
    #[error(transparent)]
    Internal(#[from] crate::error::Error),
}

/// Registrations that one network may make: loose, since vendors register all their users from few addresses.
#[must_use]
pub fn registration_limit() -> DefaultKeyedRateLimiter<String> {
    let number = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    RateLimiter::keyed(Quota::per_second(number(6)).allow_burst(number(60)))
}

impl Oauth {
    /// Whether this network may register another client now.
    #[must_use]
    pub fn may_register(&self, network: &ClientNetwork) -> bool {
        self.registration_limit.check_key(&network.as_str().to_owned()).is_ok()
    }

    /// Registers a public client and answers all values in effect.
    ///
    /// # Errors
    /// When no redirect URI is acceptable, or they are too long.
    pub fn register(
        &self,
        tenant: TenantId,
        registration: Registration,
    ) -> std::result::Result<Value, RegistrationError> {
        let mut uris = registration.redirect_uris;
        uris.retain(|uri| redirect::is_acceptable(uri));
        if uris.is_empty() {
            return Err(RegistrationError::RedirectUri);
        }
        if uris.len() > MAX_REDIRECTS {
            return Err(RegistrationError::TooLong);
        }
        let name =
            display_name(registration.client_name.as_deref(), registration.client_uri.as_deref(), &uris);
        let issued = OffsetDateTime::now_utc().unix_timestamp();
        let sealed = Sealed { t: tenant, n: name.clone(), r: uris.clone(), i: issued };
        let client_id = format!("{PREFIX}{}", self.registrations.seal(&sealed)?);
        if client_id.len() > MAX_CLIENT_ID {
            return Err(RegistrationError::TooLong);
        }
        Ok(json!({
            "client_id": client_id,
            "client_id_issued_at": issued,
            "client_name": name,
            "redirect_uris": uris,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "scope": format!("{SCOPE_TOOLS} offline_access"),
        }))
    }

    /// A client by its id: one that was used before, or a fresh registration of this tenant.
    pub(super) async fn client(&self, tx: &mut TenantTx, client_id: &str) -> Result<Option<Client>> {
        if client_id.len() > MAX_CLIENT_ID || !client_id.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(None);
        }
        if let Some(known) = store::client(tx, client_id).await? {
            return Ok(Some(known));
        }
        let sealed = client_id.strip_prefix(PREFIX).and_then(|text| self.registrations.open::<Sealed>(text));
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let fresh = sealed.filter(|s| s.t == tx.tenant() && now - s.i < UNUSED_LIFE);
        Ok(fresh.map(|s| Client { client_id: client_id.to_owned(), name: s.n, redirect_uris: s.r }))
    }
}

/// The name that a person is shown: the client's own without characters that could mislead, else its host.
fn display_name(name: Option<&str>, uri: Option<&str>, redirects: &[String]) -> String {
    let clean: String = name.unwrap_or_default().chars().filter(|c| !is_invisible(*c)).take(80).collect();
    let clean = clean.trim();
    if !clean.is_empty() {
        return clean.to_owned();
    }
    let host = uri.and_then(|u| url::Url::parse(u).ok()).and_then(|u| u.host_str().map(str::to_owned));
    host.or_else(|| redirects.first().map(|r| redirect::display_host(r)))
        .unwrap_or_else(|| "Unnamed client".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_name_cannot_hide_or_turn_characters() {
        let uris = vec!["https://a.example/cb".to_owned()];
        assert_eq!(display_name(Some("Chat\u{202e}GPT\n"), None, &uris), "ChatGPT");
        assert_eq!(display_name(Some("\u{200b}"), None, &uris), "a.example");
        assert_eq!(display_name(None, Some("https://client.example/"), &uris), "client.example");
        assert_eq!(display_name(Some(&"x".repeat(200)), None, &uris).len(), 80);
    }
}
