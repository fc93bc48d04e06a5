//! Whoever signs in the tests: a key of their own, and JSON Web Tokens made with it, good or bad.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::workspace::unique;

/// A key with a name.
#[derive(Debug)]
pub struct Signer {
    pair: Ed25519KeyPair,
    pub kid: String,
}

impl Signer {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> Result<Self> {
        let pair = Ed25519KeyPair::generate().ok().context("no key could be made")?;
        Ok(Self { pair, kid: unique() })
    }

    /// The public key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": x })
    }

    /// The public key as a set.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk()] })
    }

    /// A token of some type; the type of most is left out.
    #[must_use]
    pub fn sign(&self, kind: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "alg": "EdDSA", "kid": self.kid });
        if let Some(kind) = kind {
            header["typ"] = json!(kind);
        }
        let text = format!("{}.{}", encoded(&header), encoded(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    /// What a client signs to prove who it is, good for a minute; a test may change any claim.
    #[must_use]
    pub fn assertion(&self, client_id: &str, audience: &str, change: &[(&str, Value)]) -> String {
        let now = now();
        let mut claims = json!({
            "iss": client_id, "sub": client_id, "aud": audience, "iat": now, "exp": now + 60, "jti": unique(),
        });
        for (name, value) in change {
            claims[*name] = value.clone();
        }
        self.sign(None, &claims)
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
