//! What an ID token must be to count (OpenID Connect Core, 3.1.3.7): signed with a key that its issuer publishes, by an
//! asymmetric algorithm, for us, now, in answer to this very login. Pure: keys and expectations are given.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::{Map, Value};

/// The claims of a token that passed.
pub type Claims = Map<String, Value>;

/// Clocks may differ by this many seconds.
const LEEWAY: u64 = 60;

/// Longest token that is looked at.
const MAX_TOKEN: usize = 32 * 1024;

/// What signatures may be made with. Nothing symmetric: whoever can check such a signature can make one, and a public key
/// taken for a shared secret would let anybody.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::ES256, Algorithm::PS256, Algorithm::EdDSA];

/// A published key. Microsoft says with each key which issuer may sign with it.
#[derive(Clone)]
pub struct Key {
    jwk: Jwk,
    issuer: Option<String>,
}

/// The keys of a JWKS document that can check a signature; others are passed over, as the standard asks.
#[must_use]
pub fn keys(document: &Value) -> Vec<Key> {
    let all = document.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let read = |value: &Value| {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let issuer = value.get("issuer").and_then(Value::as_str).map(str::to_owned);
        (!matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_))).then_some(Key { jwk, issuer })
    };
    all.iter().take(100).filter_map(read).collect()
}

/// Who may have issued a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuer {
    Exactly(String),
    /// With `{tenantid}` in it, which the token's `tid` fills in: one provider for all of Microsoft's customers.
    PerDirectory(String),
}

/// Stands for a directory's id in Microsoft's issuer.
pub const DIRECTORY: &str = "{tenantid}";

impl Issuer {
    /// The issuer that a token with these claims must name.
    fn of(&self, claims: &Claims) -> Result<String, Refusal> {
        match self {
            Self::Exactly(issuer) => Ok(issuer.clone()),
            Self::PerDirectory(template) => {
                let directory = claims.get("tid").and_then(Value::as_str).unwrap_or_default();
                let directory = uuid::Uuid::try_parse(directory).map_err(|_| Refusal::Issuer)?;
                Ok(template.replace(DIRECTORY, &directory.hyphenated().to_string()))
            }
        }
    }
}

/// What the token must answer to.
pub struct Expected<'a> {
    pub issuer: &'a Issuer,
    pub client_id: &'a str,
    pub nonce: &'a str,
}

/// Why a token does not count; each is a sentence for whoever set the provider up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("what the provider sent is no ID token")]
    Malformed,
    #[error(
        "the ID token is signed in a way that is not accepted; set the provider to RS256, PS256, ES256 or EdDSA"
    )]
    Algorithm,
    #[error("the ID token is signed with a key that the provider does not publish")]
    UnknownKey,
    #[error("the signature of the ID token is wrong")]
    Signature,
    #[error("the ID token names another issuer")]
    Issuer,
    #[error("the ID token was made for another client")]
    Audience,
    #[error("the ID token has expired or is not valid yet; compare the clocks")]
    Time,
    #[error("the ID token does not belong to this login")]
    Nonce,
    #[error("the ID token lacks {0}")]
    Missing(&'static str),
}

/// Checks a token.
///
/// # Errors
/// The first thing that is wrong with it; `UnknownKey` where newer keys may help.
pub fn verify(token: &str, keys: &[Key], expected: &Expected<'_>) -> Result<Claims, Refusal> {
    if token.len() > MAX_TOKEN {
        return Err(Refusal::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Refusal::Algorithm);
    }
    // Extensions that must be understood, of which we understand none; and tokens of other kinds.
    let critical = header.crit.is_some();
    let other = header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT"));
    if critical || other {
        return Err(Refusal::Malformed);
    }
    let key = choose(keys, &header)?;
    let claims = signed(token, &key.jwk, header.alg)?;
    let issuer = expected.issuer.of(&claims)?;
    if text(&claims, "iss") != Some(issuer.as_str()) {
        return Err(Refusal::Issuer);
    }
    let directory = claims.get("tid").and_then(Value::as_str).unwrap_or_default();
    if key.issuer.as_ref().is_some_and(|of| of.replace(DIRECTORY, directory) != issuer) {
        return Err(Refusal::Issuer);
    }
    for_us(&claims, expected.client_id)?;
    in_time(&claims)?;
    if expected.nonce.is_empty() || text(&claims, "nonce") != Some(expected.nonce) {
        return Err(Refusal::Nonce);
    }
    match text(&claims, "sub") {
        Some(subject) if !subject.is_empty() && subject.len() <= 255 => Ok(claims),
        _ => Err(Refusal::Missing("a subject (sub)")),
    }
}

/// The key that the header names, or the only one that fits where it names none.
fn choose<'k>(keys: &'k [Key], header: &Header) -> Result<&'k Key, Refusal> {
    let mut fitting = keys.iter().filter(|key| fits(&key.jwk, header.alg)).filter(|key| match &header.kid {
        Some(kid) => key.jwk.common.key_id.as_ref() == Some(kid),
        None => true,
    });
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only),
        (None, _) if header.kid.is_some() && keys.iter().any(|k| k.jwk.common.key_id == header.kid) => {
            Err(Refusal::Algorithm)
        }
        _ => Err(Refusal::UnknownKey),
    }
}

/// Whether a key is of the kind that the algorithm takes: the token must not choose what a key is used for.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::PS256) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let named = jwk.common.key_algorithm.is_none_or(|of| {
        use KeyAlgorithm as K;
        matches!(
            (of, algorithm),
            (K::RS256, Algorithm::RS256)
                | (K::PS256, Algorithm::PS256)
                | (K::ES256, Algorithm::ES256)
                | (K::EdDSA, Algorithm::EdDSA)
        )
    });
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
    kind && named && signs
}

/// The claims, if the signature is right. What the claims say is checked by our own words afterwards.
fn signed(token: &str, jwk: &Jwk, algorithm: Algorithm) -> Result<Claims, Refusal> {
    let key = DecodingKey::from_jwk(jwk).map_err(|_| Refusal::UnknownKey)?;
    let mut rules = Validation::new(algorithm);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    jsonwebtoken::decode::<Claims>(token, &key, &rules).map(|data| data.claims).map_err(|error| {
        match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => Refusal::Signature,
            _ => Refusal::Malformed,
        }
    })
}

fn for_us(claims: &Claims, client_id: &str) -> Result<(), Refusal> {
    let (ours, others) = match claims.get("aud") {
        Some(Value::String(only)) => (only == client_id, false),
        Some(Value::Array(all)) => (all.iter().any(|of| of == client_id), all.len() > 1),
        _ => return Err(Refusal::Missing("an audience (aud)")),
    };
    let party = claims.get("azp").map(|party| party.as_str() == Some(client_id));
    // Several audiences: only the party it was made for may use it.
    if ours && party.unwrap_or(!others) { Ok(()) } else { Err(Refusal::Audience) }
}

fn in_time(claims: &Claims) -> Result<(), Refusal> {
    let now = jsonwebtoken::get_current_timestamp();
    let number = |name: &str| claims.get(name).and_then(Value::as_f64);
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a float")]
    let (earliest, latest) = ((now - LEEWAY) as f64, (now + LEEWAY) as f64);
    let expires = number("exp").ok_or(Refusal::Missing("an end (exp)"))?;
    let issued = number("iat").ok_or(Refusal::Missing("a time of issue (iat)"))?;
    let fresh = expires > earliest && issued < latest && number("nbf").is_none_or(|from| from < latest);
    if fresh { Ok(()) } else { Err(Refusal::Time) }
}

fn text<'c>(claims: &'c Claims, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}
