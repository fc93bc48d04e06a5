//! Dynamic registration (RFC 7591) without a row.
//!
//! What a client registers is sealed into the client id that it gets; the row is written with the first consent. So
//! registration, which is open to the world, costs no storage, and a client that nobody uses leaves no trace. A secret, where
//! a client asks for one, is derived from its id and needs no row either.

use std::num::NonZeroU32;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;
use toolmesh_proto::claims::SCOPE_TOOLS;
use toolmesh_proto::ids::TenantId;

use super::{AuthMethod, Client, Kind, MAX_CLIENT_ID, Standing, display_name};
use crate::accounts::throttle::ClientNetwork;
use crate::credentials::envelope::Vault;
use crate::error::{Error, Result};
use crate::oauth::{Oauth, key_sets, redirect};

const PREFIX: &str = "dcr_";
const MAX_REDIRECTS: usize = 10;

/// Starts a client's secret, so that scanners of leaked secrets know one.
pub(super) const SECRET_PREFIX: &str = "tmcs_";

/// A registration that led to no consent is forgotten after this many seconds.
const UNUSED_LIFE: i64 = 24 * 3600;

/// What a client that registers itself may ask of the token endpoint.
const GRANT_TYPES: [&str; 2] = ["authorization_code", "refresh_token"];

/// The body of a registration; unknown members are ignored (RFC 7591, section 2).
#[derive(Deserialize)]
pub struct Registration {
    #[serde(default)]
    redirect_uris: Vec<String>,
    client_name: Option<String>,
    client_uri: Option<String>,
    token_endpoint_auth_method: Option<String>,
    jwks: Option<Value>,
    jwks_uri: Option<String>,
}

/// What is sealed into a client id.
#[derive(Serialize, Deserialize)]
struct Sealed {
    t: TenantId,
    n: String,
    r: Vec<String>,
    i: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    u: Option<String>,
}

/// Why a registration was refused (RFC 7591, section 3.2.2).
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error(
        "redirect_uris must hold at least one https URL, http URL on localhost, or application's own scheme"
    )]
    RedirectUri,
    #[error(
        "the registration is too large: at most 10 redirect URIs, and all of it together under 1,000 characters; keys go to a \
         jwks_uri"
    )]
    TooLong,
    #[error(
        "token_endpoint_auth_method must be none, client_secret_basic, client_secret_post or private_key_jwt"
    )]
    AuthMethod,
    #[error("private_key_jwt needs either jwks or jwks_uri: {0}")]
    Keys(String),
    #[error(transparent)]
    Internal(#[from] Error),
}

/// How many registrations are taken: loose per network, since vendors register all their users from few addresses; bounded
/// per workspace and in all, since the endpoint is open to the world.
pub struct RegistrationLimits {
    network: DefaultKeyedRateLimiter<String>,
    tenant: DefaultKeyedRateLimiter<TenantId>,
    all: DefaultDirectRateLimiter,
}

impl Default for RegistrationLimits {
    fn default() -> Self {
        let number = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self {
            network: RateLimiter::keyed(Quota::per_second(number(6)).allow_burst(number(60))),
            tenant: RateLimiter::keyed(Quota::per_hour(number(600))),
            all: RateLimiter::direct(Quota::per_second(number(100)).allow_burst(number(1000))),
        }
    }
}

impl RegistrationLimits {
    /// Forgets buckets that are full again.
    pub fn tidy(&self) {
        self.network.retain_recent();
        self.tenant.retain_recent();
    }
}

/// Makes the secrets of clients that registered themselves: from the id, with a key that nobody else has.
#[derive(Clone)]
pub struct DerivedSecrets(hmac::Key);

impl DerivedSecrets {
    /// # Errors
    /// Only if the crypto library refuses.
    pub fn new(vault: &Vault) -> Result<Self> {
        let key = vault.derive("oauth client secrets v1")?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())))
    }

    fn of(&self, client_id: &str) -> String {
        format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, client_id.as_bytes())))
    }

    /// Whether this is the client's secret.
    pub(super) fn is_good(&self, client_id: &str, secret: &str) -> bool {
        bool::from(self.of(client_id).as_bytes().ct_eq(secret.as_bytes()))
    }
}

impl Oauth {
    /// Whether this network may register another client of this tenant now; if not, the seconds to wait.
    ///
    /// # Errors
    /// `TooMany` with the seconds to wait.
    pub fn may_register(&self, tenant: TenantId, network: &ClientNetwork) -> Result<()> {
        let limits = &self.registration_limits;
        if limits.network.check_key(&network.as_str().to_owned()).is_err() || limits.all.check().is_err() {
            return Err(Error::TooMany(5));
        }
        limits.tenant.check_key(&tenant).map_err(|_| Error::TooMany(60))
    }

    /// Registers a client and answers all values in effect. Of several redirect URIs those that cannot be used are left out:
    /// one exotic address among good ones is no reason to turn a client away.
    ///
    /// # Errors
    /// When no redirect URI is acceptable, they are too long, or the way to authenticate is none of ours.
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
        let method = match registration.token_endpoint_auth_method.as_deref() {
            None => AuthMethod::None,
            Some(word) => word.parse().map_err(|_| RegistrationError::AuthMethod)?,
        };
        let (jwks, jwks_uri) = keys(method, registration.jwks, registration.jwks_uri)?;
        let name =
            display_name(registration.client_name.as_deref(), registration.client_uri.as_deref(), &uris);
        let issued = OffsetDateTime::now_utc().unix_timestamp();
        let sealed = Sealed {
            t: tenant,
            n: name.clone(),
            r: uris.clone(),
            i: issued,
            m: (method != AuthMethod::None).then(|| method.as_str().to_owned()),
            k: jwks.clone(),
            u: jwks_uri.clone(),
        };
        let client_id = format!("{PREFIX}{}", self.registrations.seal(&sealed)?);
        if client_id.len() > MAX_CLIENT_ID {
            return Err(RegistrationError::TooLong);
        }
        let mut answer = json!({
            "client_id": client_id,
            "client_id_issued_at": issued,
            "client_name": name,
            "redirect_uris": uris,
            "grant_types": GRANT_TYPES,
            "response_types": ["code"],
            "token_endpoint_auth_method": method.as_str(),
            "scope": format!("{SCOPE_TOOLS} offline_access"),
        });
        if method.uses_secret() {
            answer["client_secret"] = json!(self.client_secrets.of(&client_id));
            answer["client_secret_expires_at"] = json!(0);
        }
        for (name, value) in [("jwks", jwks), ("jwks_uri", jwks_uri.map(Value::String))] {
            if let Some(value) = value {
                answer[name] = value;
            }
        }
        Ok(answer)
    }

    /// A registration that has led to no consent yet.
    pub(super) fn fresh_registration(&self, tenant: TenantId, client_id: &str) -> Option<Client> {
        let sealed: Sealed = self.registrations.open(client_id.strip_prefix(PREFIX)?)?;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        if sealed.t != tenant || now - sealed.i >= UNUSED_LIFE {
            return None;
        }
        let auth_method = match sealed.m {
            None => AuthMethod::None,
            Some(word) => word.parse().ok()?,
        };
        Some(Client {
            client_id: client_id.to_owned(),
            name: sealed.n,
            redirect_uris: sealed.r,
            kind: Kind::Registered,
            auth_method,
            jwks: sealed.k,
            jwks_uri: sealed.u,
            grant_types: GRANT_TYPES.map(str::to_owned).to_vec(),
            standing: Standing::Allowed,
            stored: false,
        })
    }
}

type Keys = (Option<Value>, Option<String>);

/// The keys of a client that signs: its own set or the place of it, and not both.
fn keys(
    method: AuthMethod,
    jwks: Option<Value>,
    jwks_uri: Option<String>,
) -> std::result::Result<Keys, RegistrationError> {
    if method != AuthMethod::PrivateKeyJwt {
        return Ok((None, None));
    }
    let wrong = RegistrationError::Keys;
    match (jwks, jwks_uri) {
        (Some(_), Some(_)) => Err(wrong("send one of them".to_owned())),
        (None, None) => Err(wrong("both are missing".to_owned())),
        (Some(jwks), None) => {
            key_sets::check(&jwks).map_err(|e| wrong(e.to_string()))?;
            Ok((Some(jwks), None))
        }
        (None, Some(uri)) => {
            key_sets::address(&uri).map_err(|e| wrong(e.to_string()))?;
            Ok((None, Some(uri)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_fits_its_client_only() {
        let secrets = DerivedSecrets::new(&Vault::new(&[1; 32]).unwrap()).unwrap();
        let secret = secrets.of("dcr_a");
        assert!(secrets.is_good("dcr_a", &secret));
        assert!(!secrets.is_good("dcr_b", &secret));
        assert!(!secrets.is_good("dcr_a", ""));
        let elsewhere = DerivedSecrets::new(&Vault::new(&[2; 32]).unwrap()).unwrap();
        assert!(!elsewhere.is_good("dcr_a", &secret));
    }

    #[test]
    fn a_client_that_signs_registers_its_keys_in_one_place() {
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
        let uri = || Some("https://client.example/keys".to_owned());
        let signs = AuthMethod::PrivateKeyJwt;
        assert!(keys(signs, Some(set.clone()), None).is_ok());
        assert!(keys(signs, None, uri()).is_ok());
        assert!(keys(signs, None, None).is_err());
        assert!(keys(signs, Some(set.clone()), uri()).is_err());
        assert!(keys(signs, None, Some("http://client.example/keys".to_owned())).is_err());
        assert!(keys(signs, Some(json!({"keys": []})), None).is_err());
        assert_eq!(keys(AuthMethod::None, Some(set), uri()).unwrap(), (None, None));
    }
}
