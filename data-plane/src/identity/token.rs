//! Access tokens: JWTs (RFC 9068) that the control plane signed with Ed25519.
//!
//! The signature is checked first and with a pushed key only; then every claim against the tenant that the host named.

use std::sync::Arc;

use aws_lc_rs::digest;
use jsonwebtoken::{Algorithm, Validation};
use toolmesh_proto::claims::{ACCESS_TOKEN_TYPE, AccessClaims, LEEWAY_SECONDS, Scopes, Subject};

use super::proof::Granted;
use super::revoked::Issued;
use super::{IdentityError, Keys, Method, Principal, Reach, Revoked, let_in};
use crate::catalog::Tenant;

/// Longest token that is looked at.
const TOKEN_BYTES: usize = 4096;

pub(super) fn check(
    tenant: &Tenant,
    keys: &Keys,
    revoked: &Revoked,
    token: &str,
    now: i64,
) -> Result<Principal, IdentityError> {
    let claims = signed(keys, token)?;
    judge(tenant, &claims, now)?;
    stands(tenant, revoked, &granted_by(&claims))
}

/// What a token of ours says, whether it is still good or not.
pub(super) fn granted(keys: &Keys, token: &str) -> Result<Granted, IdentityError> {
    signed(keys, token).map(|claims| granted_by(&claims))
}

fn granted_by(claims: &AccessClaims) -> Granted {
    Granted {
        subject: claims.sub.clone(),
        client: claims.client_id.clone(),
        grant: claims.sid.clone(),
        issued: claims.iat,
        write: Scopes::parse(&claims.scope).write,
    }
}

/// The principal of what was granted, if it was not taken back.
pub(super) fn stands(
    tenant: &Tenant,
    revoked: &Revoked,
    granted: &Granted,
) -> Result<Principal, IdentityError> {
    let subject: Subject = granted.subject.parse().map_err(|_| IdentityError::Token)?;
    let_in(tenant, subject)?;
    let issued = Issued { grant: &granted.grant, client: &granted.client, subject, iat: granted.issued };
    if revoked.refuses_token(tenant.id, &issued) {
        return Err(IdentityError::Revoked);
    }
    Ok(Principal {
        tenant: tenant.id,
        subject,
        method: Method::OAuth { client: granted.client.clone() },
        reach: Reach::Scoped { write: granted.write },
        groups: Arc::default(),
    })
}

fn signed(keys: &Keys, token: &str) -> Result<Arc<AccessClaims>, IdentityError> {
    if token.len() > TOKEN_BYTES {
        return Err(IdentityError::Token);
    }
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    let sha256: [u8; 32] = digest.as_ref().try_into().map_err(|_| IdentityError::Token)?;
    if let Some(claims) = keys.remembered(&sha256) {
        return Ok(claims);
    }
    let claims = Arc::new(verify(keys, token)?);
    keys.remember(sha256, &claims);
    Ok(claims)
}

fn verify(keys: &Keys, token: &str) -> Result<AccessClaims, IdentityError> {
    let refused = |_| IdentityError::Token;
    let header = jsonwebtoken::decode_header(token).map_err(refused)?;
    // A token of another kind, or one that demands extensions, is not ours, whoever signed it.
    if header.typ.as_deref() != Some(ACCESS_TOKEN_TYPE) || header.crit.is_some() {
        return Err(IdentityError::Token);
    }
    let key = header.kid.as_deref().and_then(|kid| keys.get(kid)).ok_or(IdentityError::Token)?;
    let mut rules = Validation::new(Algorithm::EdDSA);
    // Claims are judged below, each time, with the tenant at hand.
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    jsonwebtoken::decode(token, key, &rules).map(|data| data.claims).map_err(refused)
}

fn judge(tenant: &Tenant, claims: &AccessClaims, now: i64) -> Result<(), IdentityError> {
    let leeway = i64::try_from(LEEWAY_SECONDS).unwrap_or_default();
    let here = claims.iss == tenant.origin
        && claims.aud == tenant.resource
        && claims.tid.parse() == Ok(tenant.id)
        && claims.iat <= now.saturating_add(leeway);
    if !here {
        return Err(IdentityError::Token);
    }
    if claims.exp.saturating_add(leeway) <= now {
        return Err(IdentityError::Expired);
    }
    if Scopes::parse(&claims.scope).tools { Ok(()) } else { Err(IdentityError::Scope) }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};
    use toolmesh_proto::ids::TenantId;
    use toolmesh_proto::v1;

    use super::*;
    use crate::catalog::samples;

    const NOW: i64 = 1_800_000_000;

    fn check(tenant: &Tenant, keys: &Keys, token: &str, now: i64) -> Result<Principal, IdentityError> {
        super::check(tenant, keys, &Revoked::default(), token, now)
    }

    struct Signer(Ed25519KeyPair);

    impl Signer {
        fn new() -> Self {
            Self(Ed25519KeyPair::generate().unwrap())
        }

        fn keys(&self) -> Keys {
            let ed25519 = self.0.public_key().as_ref().to_vec();
            Keys::new(&v1::KeySet { keys: vec![v1::VerifyingKey { kid: "k1".into(), ed25519 }] })
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", encode(header), encode(claims));
            let signature = URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes()));
            format!("{message}.{signature}")
        }
    }

    fn header() -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"})
    }

    fn claims() -> Value {
        json!({
            "iss": samples::ORIGIN, "aud": format!("{}/mcp", samples::ORIGIN), "sub": samples::USER,
            "client_id": "chatgpt", "tid": samples::TENANT, "sid": "g", "jti": "j",
            "iat": NOW - 10, "exp": NOW + 590, "scope": "mcp:tools offline_access"
        })
    }

    fn with(name: &str, value: impl Into<Value>) -> Value {
        let mut claims = claims();
        claims[name] = value.into();
        claims
    }

    #[test]
    fn a_token_of_this_workspace_names_its_user_and_client() {
        let signer = Signer::new();
        let token = signer.sign(&header(), &claims());
        let (tenant, keys) = (samples::tenant(), signer.keys());
        for _ in 0..2 {
            let principal = check(&tenant, &keys, &token, NOW).unwrap();
            assert_eq!(principal.subject.to_string(), samples::USER);
            assert_eq!(principal.method, Method::OAuth { client: "chatgpt".into() });
            assert_eq!(principal.reach, Reach::Scoped { write: false });
        }
    }

    #[test]
    fn the_subject_of_a_service_account_is_no_users_and_the_scope_for_writing_covers_reading() {
        let signer = Signer::new();
        let mut claims = with("sub", format!("svc_{}", samples::USER));
        claims["scope"] = "mcp:write".into();
        let token = signer.sign(&header(), &claims);
        let principal = check(&samples::tenant(), &signer.keys(), &token, NOW).unwrap();
        assert_eq!(principal.subject, Subject::Service(samples::USER.parse().unwrap()));
        assert_eq!(principal.reach, Reach::Scoped { write: true });
        assert!(!samples::tenant().knows(principal.subject), "the same UUID is a member's");
    }

    #[test]
    fn a_token_with_one_wrong_claim_is_refused() {
        let signer = Signer::new();
        let (tenant, keys) = (samples::tenant(), signer.keys());
        for (claims, error) in [
            (with("iss", "http://other.localhost:8080"), IdentityError::Token),
            (with("iss", format!("{}/", samples::ORIGIN)), IdentityError::Token),
            (with("aud", "http://other.localhost:8080/mcp"), IdentityError::Token),
            (with("aud", samples::ORIGIN), IdentityError::Token),
            (with("aud", json!([format!("{}/mcp", samples::ORIGIN)])), IdentityError::Token),
            (with("tid", TenantId::new().to_string()), IdentityError::Token),
            (with("tid", ""), IdentityError::Token),
            (with("iat", NOW + 31), IdentityError::Token),
            (with("exp", NOW - 30), IdentityError::Expired),
            (with("scope", "offline_access"), IdentityError::Scope),
            (with("scope", "mcp:toolsx"), IdentityError::Scope),
            (with("sub", "ada"), IdentityError::Token),
        ] {
            let token = signer.sign(&header(), &claims);
            assert_eq!(check(&tenant, &keys, &token, NOW), Err(error), "{claims}");
        }
    }

    #[test]
    fn a_token_whose_grant_client_user_or_workspace_was_revoked_is_refused_and_says_so() {
        use toolmesh_proto::v1::RevocationKind as Kind;
        let signer = Signer::new();
        let (tenant, keys) = (samples::tenant(), signer.keys());
        let token = signer.sign(&header(), &claims());
        for (kind, subject) in
            [(Kind::Grant, "g"), (Kind::Client, "chatgpt"), (Kind::User, samples::USER), (Kind::Tenant, "")]
        {
            let entry = v1::Revocation {
                tenant_id: samples::TENANT.into(),
                kind: kind.into(),
                subject: subject.into(),
                min_iat: NOW - 10,
                api_keys: false,
            };
            let revoked = Revoked::default().with(&[entry], NOW);
            let refused = super::check(&tenant, &keys, &revoked, &token, NOW);
            assert_eq!(refused, Err(IdentityError::Revoked), "{kind:?}");
        }
    }

    #[test]
    fn clocks_may_differ_by_the_leeway_and_no_more() {
        let signer = Signer::new();
        let (tenant, keys) = (samples::tenant(), signer.keys());
        let ahead = signer.sign(&header(), &with("iat", NOW + 30));
        assert!(check(&tenant, &keys, &ahead, NOW).is_ok());
        let token = signer.sign(&header(), &claims());
        assert!(check(&tenant, &keys, &token, NOW + 590 + 29).is_ok());
        // Remembered as signed, and expired all the same.
        assert_eq!(check(&tenant, &keys, &token, NOW + 590 + 30), Err(IdentityError::Expired));
    }

    #[test]
    fn a_foreign_key_a_wrong_kind_or_a_weak_algorithm_is_refused() {
        let (signer, stranger) = (Signer::new(), Signer::new());
        let (tenant, keys) = (samples::tenant(), signer.keys());
        let sign = |header: Value| signer.sign(&header, &claims());
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = format!(
            "{}.{}.",
            encode(&json!({"alg": "none", "typ": "at+jwt", "kid": "k1"})),
            encode(&claims())
        );
        let stolen = {
            let good = sign(header());
            let signature = good.rsplit('.').next().unwrap().to_owned();
            format!("{}.{}.{signature}", encode(&header()), encode(&with("sub", TenantId::new().to_string())))
        };
        for token in [
            stranger.sign(&header(), &claims()),
            sign(json!({"alg": "EdDSA", "typ": "JWT", "kid": "k1"})),
            sign(json!({"alg": "EdDSA", "kid": "k1"})),
            sign(json!({"alg": "EdDSA", "typ": "at+jwt"})),
            sign(json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k2"})),
            sign(json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1", "crit": ["x"]})),
            sign(json!({"alg": "HS256", "typ": "at+jwt", "kid": "k1"})),
            unsigned,
            stolen,
            "a.b.c".to_owned(),
            "x".repeat(10_000),
        ] {
            assert_eq!(check(&tenant, &keys, &token, NOW), Err(IdentityError::Token), "{token}");
        }
    }

    #[test]
    fn an_hmac_made_with_the_public_key_is_refused() {
        let signer = Signer::new();
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": "k1"});
        let message = format!("{}.{}", encode(&header), encode(&claims()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, signer.0.public_key().as_ref());
        let signature = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
        let token = format!("{message}.{signature}");
        assert_eq!(check(&samples::tenant(), &signer.keys(), &token, NOW), Err(IdentityError::Token));
    }
}
