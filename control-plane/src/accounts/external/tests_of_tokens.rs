//! ID tokens as a provider would send them, and as an attacker would.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::id_token::{Expected, Issuer, Key, Refusal, keys, verify};

const ISSUER: &str = "https://id.example";

/// A provider with one key.
struct Signer {
    key: EncodingKey,
    kid: &'static str,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self { key: EncodingKey::from_ec_der(document.as_ref()), kid }
    }

    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn published(&self) -> Vec<Key> {
        keys(&json!({ "keys": [self.jwk()] }))
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "us", "sub": "7", "nonce": "n", "iat": now(), "exp": now() + 300, "email": "a@b.c" })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn judge(signer: &Signer, claims: &Value) -> Result<(), Refusal> {
    let issuer = Issuer::Exactly(ISSUER.to_owned());
    let expected = Expected { issuer: &issuer, client_id: "us", nonce: "n" };
    verify(&signer.sign(claims), &signer.published(), &expected).map(|_| ())
}

#[test]
fn a_token_for_this_login_passes() {
    let signer = Signer::new("1");
    assert_eq!(judge(&signer, &claims()), Ok(()));
    assert_eq!(judge(&signer, &with("aud", json!(["us"]))), Ok(()));
    let mut several = with("aud", json!(["us", "them"]));
    several["azp"] = json!("us");
    assert_eq!(judge(&signer, &several), Ok(()));
}

#[test]
fn a_token_for_another_login_client_issuer_or_time_does_not() {
    let signer = Signer::new("1");
    let cases = [
        (with("nonce", json!("other")), Refusal::Nonce),
        (without("nonce"), Refusal::Nonce),
        (with("iss", json!("https://evil.example")), Refusal::Issuer),
        (with("iss", json!("https://id.example/")), Refusal::Issuer),
        (without("iss"), Refusal::Issuer),
        (with("aud", json!("them")), Refusal::Audience),
        (with("aud", json!(["us", "them"])), Refusal::Audience),
        (with("azp", json!("them")), Refusal::Audience),
        (with("exp", json!(now() - 61)), Refusal::Time),
        (with("iat", json!(now() + 120)), Refusal::Time),
        (with("nbf", json!(now() + 120)), Refusal::Time),
        (without("exp"), Refusal::Missing("an end (exp)")),
        (without("sub"), Refusal::Missing("a subject (sub)")),
        (with("sub", json!("")), Refusal::Missing("a subject (sub)")),
        (with("sub", json!("x".repeat(256))), Refusal::Missing("a subject (sub)")),
    ];
    for (claims, refusal) in cases {
        assert_eq!(judge(&signer, &claims), Err(refusal), "{claims}");
    }
}

#[test]
fn a_key_that_is_not_published_or_a_changed_token_does_not() {
    let (signer, stranger) = (Signer::new("1"), Signer::new("1"));
    let issuer = Issuer::Exactly(ISSUER.to_owned());
    let expected = Expected { issuer: &issuer, client_id: "us", nonce: "n" };
    let token = signer.sign(&claims());
    assert_eq!(verify(&token, &stranger.published(), &expected).err(), Some(Refusal::Signature));
    assert_eq!(verify(&token, &Signer::new("2").published(), &expected).err(), Some(Refusal::UnknownKey));
    assert_eq!(verify(&token, &[], &expected).err(), Some(Refusal::UnknownKey));
    let (head, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    assert!(verify(&forged, &signer.published(), &expected).is_err());
}

#[test]
fn neither_no_signature_nor_a_public_key_as_a_secret_passes() {
    let signer = Signer::new("1");
    let issuer = Issuer::Exactly(ISSUER.to_owned());
    let expected = Expected { issuer: &issuer, client_id: "us", nonce: "n" };
    let encode = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    for alg in ["none", "None", ""] {
        let head = encode(&json!({ "alg": alg, "kid": "1" }).to_string());
        let token = format!("{head}.{}.", encode(&claims().to_string()));
        assert!(verify(&token, &signer.published(), &expected).is_err(), "{alg}");
    }
    // The public key's coordinate, which everybody has, taken for a shared secret.
    let public = signer.jwk()["x"].as_str().unwrap().to_owned();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("1".to_owned());
    let token =
        jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(public.as_bytes())).unwrap();
    assert_eq!(verify(&token, &signer.published(), &expected).err(), Some(Refusal::Algorithm));
    // Not even where the provider publishes the secret as a key.
    let published = keys(&json!({ "keys": [{ "kty": "oct", "kid": "1", "k": encode(&public) }] }));
    assert!(published.is_empty());
}

#[test]
fn a_key_is_used_for_nothing_but_what_it_is_published_for() {
    let signer = Signer::new("1");
    let issuer = Issuer::Exactly(ISSUER.to_owned());
    let expected = Expected { issuer: &issuer, client_id: "us", nonce: "n" };
    for (name, value) in [("use", "enc"), ("alg", "RS256")] {
        let mut jwk = signer.jwk();
        jwk[name] = json!(value);
        let published = keys(&json!({ "keys": [jwk] }));
        assert_eq!(
            verify(&signer.sign(&claims()), &published, &expected).err(),
            Some(Refusal::Algorithm),
            "{name}"
        );
    }
}

#[test]
fn tokens_of_another_kind_are_no_id_tokens() {
    let signer = Signer::new("1");
    let issuer = Issuer::Exactly(ISSUER.to_owned());
    let expected = Expected { issuer: &issuer, client_id: "us", nonce: "n" };
    for typ in ["at+jwt", "logout+jwt", "oauth-id-jag+jwt"] {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("1".to_owned());
        header.typ = Some(typ.to_owned());
        let token = jsonwebtoken::encode(&header, &claims(), &signer.key).unwrap();
        assert_eq!(verify(&token, &signer.published(), &expected).err(), Some(Refusal::Malformed), "{typ}");
    }
    let huge = format!("{}.x.y", "a".repeat(40_000));
    assert_eq!(verify(&huge, &[], &expected).err(), Some(Refusal::Malformed));
}

#[test]
fn of_a_provider_for_many_directories_each_token_names_its_own() {
    let signer = Signer::new("1");
    let (ours, other) = ("8f0c7a52-6d5e-4c4b-9f3e-0a1b2c3d4e5f", "11111111-2222-4333-8444-555555555555");
    let issuer = Issuer::PerDirectory("https://ms.example/{tenantid}/v2.0".to_owned());
    let expected = Expected { issuer: &issuer, client_id: "us", nonce: "n" };
    let of = |tid: &str, iss: &str| {
        let mut claims = with("tid", json!(tid));
        claims["iss"] = json!(iss);
        signer.sign(&claims)
    };
    let good = of(ours, &format!("https://ms.example/{ours}/v2.0"));
    assert!(verify(&good, &signer.published(), &expected).is_ok());
    for bad in [
        of(other, &format!("https://ms.example/{ours}/v2.0")),
        of("", "https://ms.example//v2.0"),
        of("../evil", "https://ms.example/../evil/v2.0"),
        of(ours, "https://ms.example/{tenantid}/v2.0"),
    ] {
        assert_eq!(verify(&bad, &signer.published(), &expected).err(), Some(Refusal::Issuer));
    }
    // A key that Microsoft publishes for one directory signs for no other.
    let mut jwk = signer.jwk();
    jwk["issuer"] = json!(format!("https://ms.example/{other}/v2.0"));
    let published = keys(&json!({ "keys": [jwk] }));
    assert_eq!(verify(&good, &published, &expected).err(), Some(Refusal::Issuer));
}
