//! Whoever signs in the tests: a key of their own, and JSON Web Tokens made with it, good or bad.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::workspace::unique;

/// A key with a name.
#[derive(Debug)]
pub struct Signer {
    pair: Pair,
    pub kid: String,
}

#[derive(Debug)]
enum Pair {
    EdDsa(Ed25519KeyPair),
    /// With its modulus.
    Rs256(RsaKeyPair, Vec<u8>),
}

impl Signer {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> Result<Self> {
        let pair = Ed25519KeyPair::generate().ok().context("no key could be made")?;
        Ok(Self { pair: Pair::EdDsa(pair), kid: unique() })
    }

    /// One with an RSA key of 2048 bits, for RS256.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn rsa() -> Result<Self> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok().context("no key could be made")?;
        // RFC 8017, appendix A.1.1: modulus and exponent, which is 65537, one after the other.
        let der = pair.public_key().as_ref();
        let modulus =
            der.strip_suffix(&[2, 3, 1, 0, 1]).and_then(|rest| rest.get(rest.len().checked_sub(256)?..));
        let modulus = modulus.context("a public key of another shape")?.to_vec();
        ensure!(modulus.first().is_some_and(|first| *first >= 0x80), "a modulus of another length");
        Ok(Self { pair: Pair::Rs256(pair, modulus), kid: unique() })
    }

    /// The public key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        match &self.pair {
            Pair::EdDsa(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": x })
            }
            Pair::Rs256(_, modulus) => {
                let n = URL_SAFE_NO_PAD.encode(modulus);
                json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid, "n": n, "e": "AQAB" })
            }
        }
    }

    const fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::EdDsa(_) => "EdDSA",
            Pair::Rs256(..) => "RS256",
        }
    }

    fn signature(&self, text: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::EdDsa(pair) => pair.sign(text).as_ref().to_vec(),
            Pair::Rs256(pair, modulus) => {
                let mut signature = vec![0; modulus.len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature);
                signed.map_or_else(|_| Vec::new(), |()| signature)
            }
        }
    }

    /// The public key as a set.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk()] })
    }

    /// A token of some type; the type of most is left out.
    #[must_use]
    pub fn sign(&self, kind: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "alg": self.algorithm(), "kid": self.kid });
        if let Some(kind) = kind {
            header["typ"] = json!(kind);
        }
        let text = format!("{}.{}", encoded(&header), encoded(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.signature(text.as_bytes()));
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
