//! Public keys of others (RFC 7517): of clients that sign, and of whoever else signs for a tenant. Read from a set that is
//! given, or fetched through the guarded client, kept for an hour, and fetched anew at once for a key that is not known, but
//! then a little while apart, so that nobody can make this plane ask somebody else over and over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use moka::future::Cache;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::outbound::{Outbound, Outgoing};

/// Most keys of a set that are looked at.
const MAX_KEYS: usize = 32;

/// Largest set, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Longest wait for a set.
const WITHIN: Duration = Duration::from_secs(3);

/// How long a fetched set is good without asking again, and how long where asking again fails.
const FRESH: Duration = Duration::from_secs(3600);
const STALE: Duration = Duration::from_secs(24 * 3600);

/// Least time between two requests for a set that was not to be had, and for keys that a set does not hold.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ways of signing that are believed. None of them has a secret that a verifier could sign with too.
pub const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256, Algorithm::PS256];

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("the address of a key set must be an https URL without user, password and fragment")]
    Address,
    #[error(
        "a key set is a JSON object with 1 to 32 public keys in `keys`, of type RSA, EC (P-256) or OKP (Ed25519)"
    )]
    Shape,
    #[error(
        "a key set must hold public keys only; this one holds a private or shared key, which is now to be replaced"
    )]
    Private,
    #[error("the key set at {host} could not be fetched: {why}")]
    Fetch { host: String, why: String },
}

/// Key sets by their address. Cheap to clone.
#[derive(Clone)]
pub struct KeySets {
    outbound: Outbound,
    known: Cache<String, Arc<Mutex<Slot>>>,
}

#[derive(Default)]
struct Slot {
    keys: Vec<Jwk>,
    fetched: Option<Instant>,
    /// When it was asked again for a key that it does not hold.
    missed: Option<Instant>,
    /// The last request, where that brought nothing.
    failed: Option<(Instant, KeySetError)>,
}

impl KeySets {
    #[must_use]
    pub fn new(outbound: Outbound) -> Self {
        let known = Cache::builder().max_capacity(1000).time_to_idle(STALE).build();
        Self { outbound, known }
    }

    /// The client that sets are fetched with.
    pub(super) const fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// The keys at an address that may have made a signature.
    ///
    /// # Errors
    /// When there are none to be had.
    pub async fn at(
        &self,
        address: &str,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<Jwk>, KeySetError> {
        let url = self::address(address)?;
        let slot = self.known.get_with(address.to_owned(), async { Arc::default() }).await;
        // One request at a time for one set; whoever waited finds its answer.
        let mut slot = slot.lock().await;
        let found = candidates(&slot.keys, kid, algorithm);
        let younger = |at: Option<Instant>, than: Duration| at.is_some_and(|at| at.elapsed() < than);
        let (fresh, usable) = (younger(slot.fetched, FRESH), younger(slot.fetched, STALE));
        if fresh && (!found.is_empty() || younger(slot.missed, PATIENCE)) {
            return Ok(found);
        }
        if let Some((_, error)) = slot.failed.as_ref().filter(|(at, _)| at.elapsed() < PATIENCE) {
            return if usable { Ok(found) } else { Err(error.clone()) };
        }
        if fresh {
            slot.missed = Some(Instant::now());
        }
        match self.fetch(url).await {
            Ok(keys) => {
                *slot = Slot { keys, fetched: Some(Instant::now()), missed: slot.missed, failed: None }
            }
            Err(error) => {
                slot.failed = Some((Instant::now(), error.clone()));
                if !usable {
                    return Err(error);
                }
                tracing::warn!(%error, "an older copy of a key set is used");
            }
        }
        Ok(candidates(&slot.keys, kid, algorithm))
    }

    async fn fetch(&self, url: Url) -> Result<Vec<Jwk>, KeySetError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let failed = |why: String| KeySetError::Fetch { host: host.clone(), why };
        let answer = self.outbound.send(Outgoing::get(url, MAX_BYTES, WITHIN)).await;
        let answer = answer.map_err(|e| failed(e.to_string()))?;
        if answer.status != http::StatusCode::OK {
            return Err(failed(format!("it answered {}", answer.status)));
        }
        let set: Value = serde_json::from_slice(&answer.body).map_err(|_| KeySetError::Shape)?;
        check(&set)
    }
}

/// The address of a key set.
///
/// # Errors
/// When it is none that is fetched.
pub fn address(text: &str) -> Result<Url, KeySetError> {
    let url = Url::parse(text).map_err(|_| KeySetError::Address)?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if text.len() > 512 || url.scheme() != "https" || url.host().is_none() || !plain {
        return Err(KeySetError::Address);
    }
    Ok(url)
}

/// The usable keys of a set; kinds that nobody here knows are passed over.
///
/// # Errors
/// When there is none, or one that should be nobody else's.
pub fn check(set: &Value) -> Result<Vec<Jwk>, KeySetError> {
    let keys = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::Shape)?;
    if keys.len() > MAX_KEYS {
        return Err(KeySetError::Shape);
    }
    if keys.iter().any(|key| ["d", "p", "q", "k"].iter().any(|part| key.get(part).is_some())) {
        return Err(KeySetError::Private);
    }
    let usable = |key: &Value| {
        let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
        let asymmetric = !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
        (asymmetric && DecodingKey::from_jwk(&jwk).is_ok()).then_some(jwk)
    };
    let usable: Vec<Jwk> = keys.iter().filter_map(usable).collect();
    if usable.is_empty() { Err(KeySetError::Shape) } else { Ok(usable) }
}

/// The keys that may have made a signature: the one that is named, or, without a name, all of the kind.
#[must_use]
pub fn candidates(keys: &[Jwk], kid: Option<&str>, algorithm: Algorithm) -> Vec<Jwk> {
    let fits = |jwk: &&Jwk| {
        let named = kid.is_none_or(|kid| jwk.common.key_id.as_deref() == Some(kid));
        let signs = !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
        let meant = jwk.common.key_algorithm.is_none_or(|meant| meant == KeyAlgorithm::from(algorithm));
        let family = matches!(
            (&jwk.algorithm, algorithm),
            (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::PS256)
                | (AlgorithmParameters::EllipticCurve(_), Algorithm::ES256)
                | (AlgorithmParameters::OctetKeyPair(_), Algorithm::EdDSA)
        );
        named && signs && meant && family
    };
    keys.iter().filter(fits).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    #[test]
    fn a_set_with_a_private_or_shared_key_is_refused_and_unknown_kinds_are_passed_over() {
        let good = json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "a"});
        let unknown = json!({"kty": "LATTICE", "z": "1"});
        assert_eq!(check(&json!({"keys": [unknown.clone(), good.clone()]})).unwrap().len(), 1);
        assert_eq!(check(&json!({"keys": [unknown]})), Err(KeySetError::Shape));
        assert_eq!(check(&json!({"keys": []})), Err(KeySetError::Shape));
        assert_eq!(check(&json!([good.clone()])), Err(KeySetError::Shape));
        let mut private = good.clone();
        private["d"] = json!("x");
        assert_eq!(check(&json!({"keys": [private]})), Err(KeySetError::Private));
        assert_eq!(check(&json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})), Err(KeySetError::Private));
        assert_eq!(check(&json!({"keys": vec![good; 40]})), Err(KeySetError::Shape));
    }

    #[test]
    fn a_key_answers_to_its_name_its_kind_and_its_use() {
        let keys = check(&json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "a"},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "b", "use": "enc"},
        ]}))
        .unwrap();
        assert_eq!(candidates(&keys, Some("a"), Algorithm::EdDSA).len(), 1);
        assert_eq!(candidates(&keys, None, Algorithm::EdDSA).len(), 1);
        assert!(candidates(&keys, Some("b"), Algorithm::EdDSA).is_empty());
        assert!(candidates(&keys, Some("a"), Algorithm::RS256).is_empty());
        assert!(candidates(&keys, Some("c"), Algorithm::EdDSA).is_empty());
    }

    #[test]
    fn key_sets_are_fetched_by_https_alone() {
        assert!(address("https://client.example/keys").is_ok());
        for bad in
            ["http://client.example/keys", "https://u:p@client.example/k", "https://c.example/k#x", "x"]
        {
            assert_eq!(address(bad), Err(KeySetError::Address), "{bad}");
        }
    }
}
