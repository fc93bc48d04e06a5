//! What a client signs to prove who it is (RFC 7523, section 2.2): which claims it must hold, and how they are checked.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::oauth::key_sets::ALGORITHMS;

/// An assertion is good for so many seconds at most: its use has to be remembered until then.
const MAX_LIFE: i64 = 300;

/// How far two clocks may differ, in seconds.
const SKEW: i64 = 60;

/// How old an assertion may be, in seconds, whatever it says of its end.
const MAX_AGE: i64 = 3600;

/// Longest assertion that is looked at, in bytes.
const MAX_BYTES: usize = 8 << 10;

/// Why an assertion proves nothing; the text names what to change and holds nothing of the assertion.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unproven(pub &'static str);

/// What the header says, as far as it is believed before the signature is checked: which key to look for.
#[derive(Debug, PartialEq, Eq)]
pub struct Claimed {
    pub client_id: String,
    pub kid: Option<String>,
    pub algorithm: Algorithm,
}

/// A good assertion: what must be remembered so that it is not good again.
#[derive(Debug, PartialEq, Eq)]
pub struct Proof {
    pub jti: String,
    pub expires_at: OffsetDateTime,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<i64>,
    iat: Option<i64>,
    nbf: Option<i64>,
    jti: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Who an assertion claims to be from. Nothing of it is proven yet.
///
/// # Errors
/// When it is no assertion that could be.
pub fn claimed(assertion: &str) -> Result<Claimed, Unproven> {
    if assertion.len() > MAX_BYTES {
        return Err(Unproven("client_assertion is longer than 8 KiB"));
    }
    let header = jsonwebtoken::decode_header(assertion)
        .map_err(|_| Unproven("client_assertion must be a JWT signed with RS256, PS256, ES256 or EdDSA"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Unproven("client_assertion must be signed with RS256, PS256, ES256 or EdDSA"));
    }
    if header.crit.is_some() {
        return Err(Unproven("client_assertion asks for an extension that is not known here (crit)"));
    }
    let claims: Claims = jsonwebtoken::dangerous::insecure_decode(assertion)
        .map_err(|_| Unproven("the claims of client_assertion cannot be read"))?
        .claims;
    match (claims.iss, claims.sub) {
        (Some(iss), Some(sub)) if iss == sub => {
            Ok(Claimed { client_id: iss, kid: header.kid, algorithm: header.alg })
        }
        _ => Err(Unproven("iss and sub of client_assertion must both be the client id")),
    }
}

/// Checks signature and claims. `audiences` are the names of this server: its issuer and its token endpoint.
///
/// # Errors
/// Says which rule is broken.
pub fn verify(
    assertion: &str,
    claimed: &Claimed,
    keys: &[Jwk],
    audiences: &[String],
    now: OffsetDateTime,
) -> Result<Proof, Unproven> {
    if keys.is_empty() {
        return Err(Unproven("client_assertion is signed with a key that is not in the client's key set"));
    }
    let mut validation = Validation::new(claimed.algorithm);
    // Times and audience are checked below, more strictly.
    validation.set_required_spec_claims::<&str>(&[]);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let read = |key: &Jwk| {
        let key = DecodingKey::from_jwk(key).ok()?;
        jsonwebtoken::decode::<Claims>(assertion, &key, &validation).ok()
    };
    let claims =
        keys.iter().find_map(read).ok_or(Unproven("the signature of client_assertion is wrong"))?.claims;
    let same = |text: &Option<String>| text.as_deref() == Some(claimed.client_id.as_str());
    if !same(&claims.iss) || !same(&claims.sub) {
        return Err(Unproven("iss and sub of client_assertion must both be the client id"));
    }
    check_audience(claims.aud.as_ref(), audiences)?;
    let expires_at = check_times(&claims, now.unix_timestamp())?;
    match claims.jti {
        Some(jti) if (1..=255).contains(&jti.len()) => Ok(Proof { jti, expires_at }),
        _ => Err(Unproven("client_assertion needs a jti of 1 to 255 characters")),
    }
}

/// Every audience must be ours: an assertion that is also meant for somebody else could have come from there.
fn check_audience(audience: Option<&Audience>, ours: &[String]) -> Result<(), Unproven> {
    let fine = match audience {
        Some(Audience::One(one)) => ours.contains(one),
        Some(Audience::Several(all)) => !all.is_empty() && all.iter().all(|one| ours.contains(one)),
        None => false,
    };
    if fine {
        Ok(())
    } else {
        Err(Unproven("aud of client_assertion must be the issuer or the token endpoint"))
    }
}

fn check_times(claims: &Claims, now: i64) -> Result<OffsetDateTime, Unproven> {
    let exp = claims.exp.ok_or(Unproven("client_assertion needs an exp"))?;
    if exp <= now - SKEW {
        return Err(Unproven("client_assertion has expired"));
    }
    if exp > now + MAX_LIFE + SKEW {
        return Err(Unproven("client_assertion must expire within 5 minutes"));
    }
    if claims.nbf.is_some_and(|nbf| nbf > now + SKEW) || claims.iat.is_some_and(|iat| iat > now + SKEW) {
        return Err(Unproven("client_assertion is from the future; is the client's clock right?"));
    }
    if claims.iat.is_some_and(|iat| iat < now - MAX_AGE) {
        return Err(Unproven("client_assertion was made more than an hour ago"));
    }
    OffsetDateTime::from_unix_timestamp(exp + SKEW)
        .map_err(|_| Unproven("exp of client_assertion is no time"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};

    use super::*;
    use crate::oauth::key_sets;

    const CLIENT: &str = "https://client.example/doc";
    const ISSUER: &str = "https://acme.example.net";
    const TOKEN: &str = "https://app.example.com/oauth/acme/token";

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    fn good() -> Value {
        let at = now().unix_timestamp();
        json!({"iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "exp": at + 60, "iat": at, "jti": "one"})
    }

    struct Signer(EncodingKey, Vec<Jwk>);

    impl Signer {
        fn new() -> Self {
            let pair = Ed25519KeyPair::generate().unwrap();
            let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
            let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k"}]});
            let key = EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref());
            Self(key, key_sets::check(&set).unwrap())
        }

        fn sign(&self, claims: &Value) -> String {
            jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &self.0).unwrap()
        }

        fn check(&self, claims: &Value) -> Result<Proof, Unproven> {
            let text = self.sign(claims);
            let claimed = claimed(&text)?;
            verify(&text, &claimed, &self.1, &[ISSUER.to_owned(), TOKEN.to_owned()], now())
        }
    }

    #[test]
    fn an_assertion_for_this_server_is_taken() {
        let signer = Signer::new();
        assert_eq!(signer.check(&good()).unwrap().jti, "one");
        for aud in [json!(TOKEN), json!([ISSUER]), json!([ISSUER, TOKEN])] {
            let mut claims = good();
            claims["aud"] = aud;
            assert!(signer.check(&claims).is_ok(), "{claims}");
        }
    }

    #[test]
    fn an_assertion_that_breaks_any_rule_proves_nothing() {
        let (signer, at) = (Signer::new(), now().unix_timestamp());
        for (name, value) in [
            ("iss", json!("https://other.example/doc")),
            ("sub", json!("https://other.example/doc")),
            ("sub", Value::Null),
            ("aud", json!("https://beta.example.net")),
            ("aud", json!([ISSUER, "https://elsewhere.example"])),
            ("aud", json!([])),
            ("aud", Value::Null),
            ("exp", json!(at - 120)),
            ("exp", json!(at + 3600)),
            ("exp", Value::Null),
            ("iat", json!(at + 3600)),
            ("iat", json!(at - 7200)),
            ("nbf", json!(at + 3600)),
            ("jti", Value::Null),
            ("jti", json!("")),
            ("jti", json!("x".repeat(256))),
        ] {
            let mut claims = good();
            claims[name] = value;
            assert!(signer.check(&claims).is_err(), "{claims}");
        }
    }

    #[test]
    fn an_assertion_signed_by_somebody_else_or_by_nobody_proves_nothing() {
        let (signer, stranger) = (Signer::new(), Signer::new());
        let text = stranger.sign(&good());
        let who = claimed(&text).unwrap();
        let ours = [ISSUER.to_owned()];
        assert!(verify(&text, &who, &signer.1, &ours, now()).is_err());
        assert!(verify(&text, &who, &[], &ours, now()).is_err());

        let claims = URL_SAFE_NO_PAD.encode(good().to_string());
        let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none"}).to_string());
        assert!(claimed(&format!("{none}.{claims}.")).is_err(), "alg none");
        // A public key is no secret: signing with it as one (HS256) must not pass.
        let shared = EncodingKey::from_secret(b"public key");
        let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good(), &shared).unwrap();
        assert!(claimed(&text).is_err(), "HS256");
        assert!(claimed("nonsense").is_err());
        assert!(claimed(&"x".repeat(9000)).is_err());
    }
}
