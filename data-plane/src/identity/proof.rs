//! What a caller showed, kept for later: enough to find out whether they still may have what they asked for, and nothing that
//! could be shown to anybody.

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use toolmesh_proto::claims::API_KEY_PREFIX;

use super::{IdentityError, Keys, Principal, Revoked, api_key, bearer, placed, token};
use crate::catalog::Tenant;

/// Who asked, and by what right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    Token(Granted),
    /// SHA-256 of an API key.
    Key([u8; 32]),
}

/// What an access token said, without its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    pub subject: String,
    pub client: String,
    pub grant: String,
    pub issued: i64,
    pub write: bool,
}

/// What a request shows; `None` where that is nothing of ours.
#[must_use]
pub fn proof(keys: &Keys, headers: &HeaderMap) -> Option<Proof> {
    let token = bearer(headers).ok()?;
    if token.starts_with(API_KEY_PREFIX) {
        return api_key::digest(token).ok().map(Proof::Key);
    }
    token::granted(keys, token).ok().map(Proof::Token)
}

/// Whether a caller who showed this once is somebody still. `now` is seconds since the epoch.
///
/// # Errors
/// Says why not.
pub fn stands(
    tenant: &Tenant,
    revoked: &Revoked,
    proof: &Proof,
    now: i64,
) -> Result<Principal, IdentityError> {
    let principal = match proof {
        Proof::Key(sha256) => api_key::stands(tenant, revoked, sha256, now)?,
        Proof::Token(granted) => token::stands(tenant, revoked, granted)?,
    };
    placed(tenant, principal)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::AUTHORIZATION;
    use toolmesh_proto::v1::{self, RevocationKind as Kind};

    use super::*;
    use crate::catalog::samples;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn what_a_key_may_be_given_ends_with_the_key_and_with_its_member() {
        let mut headers = HeaderMap::new();
        let key = format!("Bearer {}", samples::API_KEY);
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&key).unwrap());
        let proof = proof(&Keys::default(), &headers).unwrap();
        assert!(!serde_json::to_string(&proof).unwrap().contains(samples::API_KEY));
        let still = |bundle: &v1::TenantBundle| {
            stands(&samples::compile(bundle), &Revoked::default(), &proof, NOW)
                .map(|who| who.subject.to_string())
        };
        let mut bundle = samples::bundle();
        assert_eq!(still(&bundle), Ok(samples::USER.to_owned()));
        bundle.members.clear();
        assert_eq!(still(&bundle), Err(IdentityError::NotAMember));
        bundle.api_keys.clear();
        assert_eq!(still(&bundle), Err(IdentityError::ApiKey));
    }

    #[test]
    fn what_a_token_was_good_for_ends_with_its_grant_client_and_user() {
        let granted = Granted {
            subject: samples::USER.to_owned(),
            client: "chatgpt".to_owned(),
            grant: "g".to_owned(),
            issued: NOW - 10,
            write: false,
        };
        let proof = Proof::Token(granted);
        let tenant = samples::tenant();
        assert!(stands(&tenant, &Revoked::default(), &proof, NOW).is_ok());
        for (kind, subject) in
            [(Kind::Grant, "g"), (Kind::Client, "chatgpt"), (Kind::User, samples::USER), (Kind::Tenant, "")]
        {
            let entry = v1::Revocation {
                tenant_id: samples::TENANT.into(),
                kind: kind.into(),
                subject: subject.into(),
                min_iat: NOW,
                api_keys: false,
            };
            let revoked = Revoked::default().with(&[entry], NOW);
            assert_eq!(stands(&tenant, &revoked, &proof, NOW), Err(IdentityError::Revoked), "{kind:?}");
        }
        assert_eq!(super::proof(&Keys::default(), &HeaderMap::new()), None);
    }
}
