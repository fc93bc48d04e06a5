//! From a request's `Authorization` header to a principal.
//!
//! Everything is checked on every request against the bundle in force, so that a removal holds from the next push on. It
//! knows nothing of tools or of what the principal wants.

mod api_key;
pub mod challenge;
pub mod keys;
mod proof;
mod revoked;
mod token;

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use toolmesh_proto::claims::{API_KEY_PREFIX, Subject};
use toolmesh_proto::ids::{ApiKeyId, GroupId, TenantId};

pub use self::keys::Keys;
pub use self::proof::{Proof, proof, stands};
pub use self::revoked::Revoked;
use crate::catalog::{KeptOut, Tenant};

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub tenant: TenantId,
    pub subject: Subject,
    /// The groups the caller is in, for rules to go by; a service account is in none.
    pub groups: Arc<[GroupId]>,
    pub method: Method,
    pub reach: Reach,
}

/// How far what the caller showed reaches, whoever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Everything,
    /// An API key for reading: no tool that does more, and no way to get there with this key.
    ReadOnly,
    /// The scopes of an access token. Whether writing needs one of its own is the tenant's choice.
    Scoped {
        write: bool,
    },
}

/// How the caller showed who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    OAuth { client: String },
    ApiKey { id: ApiKeyId },
}

/// Why a request has no principal. The texts go into `error_description` (RFC 6750, section 3), so they hold neither
/// quotes nor anything secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("no access token was sent")]
    Missing,
    #[error("the Authorization header must be: Bearer, a space, and the token")]
    Malformed,
    #[error("the access token is not one of this workspace")]
    Token,
    #[error("the access token has expired")]
    Expired,
    #[error("the API key is unknown or was revoked")]
    ApiKey,
    #[error("the API key has expired")]
    ApiKeyExpired,
    #[error("the access was revoked; log in again")]
    Revoked,
    #[error("you are no longer a member of this workspace")]
    NotAMember,
    #[error("your access to this workspace is suspended; ask one of its owners or admins")]
    Suspended,
    #[error("this workspace requires a second factor; add one to your account in the console")]
    SecondFactor,
    #[error("the service account is disabled or was removed")]
    ServiceAccount,
    #[error("the access token does not cover the use of tools")]
    Scope,
}

/// Finds out who is calling. `now` is seconds since the epoch.
///
/// # Errors
/// Says why the caller is nobody here.
pub fn authenticate(
    tenant: &Tenant,
    keys: &Keys,
    revoked: &Revoked,
    headers: &HeaderMap,
    now: i64,
) -> Result<Principal, IdentityError> {
    let token = bearer(headers)?;
    let principal = if token.starts_with(API_KEY_PREFIX) {
        api_key::check(tenant, revoked, token, now)?
    } else {
        token::check(tenant, keys, revoked, token, now)?
    };
    placed(tenant, principal)
}

/// A principal where the bundle knows them, in their groups.
fn placed(tenant: &Tenant, principal: Principal) -> Result<Principal, IdentityError> {
    match principal.subject {
        Subject::User(user) => match tenant.member(user) {
            Some(member) => Ok(Principal { groups: Arc::clone(&member.groups), ..principal }),
            None => Err(IdentityError::NotAMember),
        },
        Subject::Service(_) if tenant.knows(principal.subject) => Ok(principal),
        Subject::Service(_) => Err(IdentityError::ServiceAccount),
    }
}

/// Tells a member who is not let in why, ahead of whatever else is wrong with what they show: it is theirs, and no other would
/// help. Whoever shows what nobody gave them learns nothing.
fn let_in(tenant: &Tenant, subject: Subject) -> Result<(), IdentityError> {
    match tenant.kept_out(subject) {
        None => Ok(()),
        Some(KeptOut::Suspended) => Err(IdentityError::Suspended),
        Some(KeptOut::SecondFactor) => Err(IdentityError::SecondFactor),
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, IdentityError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(IdentityError::Missing)?;
    if values.next().is_some() {
        return Err(IdentityError::Malformed);
    }
    let text = value.to_str().map_err(|_| IdentityError::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(IdentityError::Malformed)?;
    let token = token.trim();
    let sound = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ');
    if sound { Ok(token) } else { Err(IdentityError::Malformed) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use toolmesh_proto::v1::{KeptOut, KeptOutReason};

    use super::*;
    use crate::catalog::samples;

    fn with(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn check(tenant: &Tenant, values: &[&str]) -> Result<Principal, IdentityError> {
        authenticate(tenant, &Keys::default(), &Revoked::default(), &with(values), 1000)
    }

    #[test]
    fn an_api_key_acts_as_its_member_until_either_is_gone() {
        let key = format!("Bearer {}", samples::API_KEY);
        let principal = check(&samples::tenant(), &[&key]).unwrap();
        assert_eq!(principal.subject.to_string(), samples::USER);
        assert_eq!(principal.reach, Reach::Everything);
        assert!(matches!(principal.method, Method::ApiKey { .. }));

        let mut bundle = samples::bundle();
        bundle.members.clear();
        assert_eq!(check(&samples::compile(&bundle), &[&key]), Err(IdentityError::NotAMember));
        bundle.api_keys.clear();
        assert_eq!(check(&samples::compile(&bundle), &[&key]), Err(IdentityError::ApiKey));
        let mut bundle = samples::bundle();
        bundle.api_keys[0].expires_at = 999;
        assert_eq!(check(&samples::compile(&bundle), &[&key]), Err(IdentityError::ApiKeyExpired));
    }

    #[test]
    fn a_member_who_is_not_let_in_is_told_why_and_who_has_no_key_of_theirs_is_not() {
        let key = format!("Bearer {}", samples::API_KEY);
        for (reason, error) in [
            (KeptOutReason::Suspended, IdentityError::Suspended),
            (KeptOutReason::SecondFactor, IdentityError::SecondFactor),
            (KeptOutReason::Unspecified, IdentityError::NotAMember),
        ] {
            let mut bundle = samples::bundle();
            bundle.members.clear();
            bundle.kept_out = vec![KeptOut { user_id: samples::USER.into(), reason: reason.into() }];
            let tenant = samples::compile(&bundle);
            assert_eq!(check(&tenant, &[&key]), Err(error), "{reason:?}");
            assert_eq!(check(&tenant, &["Bearer tmk_another"]), Err(IdentityError::ApiKey));
            bundle.api_keys[0].expires_at = 999;
            assert_eq!(check(&samples::compile(&bundle), &[&key]), Err(IdentityError::ApiKeyExpired));
        }
    }

    #[test]
    fn a_key_of_a_service_account_acts_as_it_until_it_is_disabled() {
        let key = format!("Bearer {}", samples::API_KEY);
        let mut bundle = samples::bundle();
        bundle.api_keys[0].user_id.clear();
        bundle.api_keys[0].service_account_id = samples::SERVICE_ACCOUNT.into();
        let principal = check(&samples::compile(&bundle), &[&key]).unwrap();
        assert_eq!(principal.subject.to_string(), format!("svc_{}", samples::SERVICE_ACCOUNT));
        bundle.service_accounts.clear();
        assert_eq!(check(&samples::compile(&bundle), &[&key]), Err(IdentityError::ServiceAccount));
    }

    #[test]
    fn while_a_key_is_rolled_both_secrets_work_and_the_old_one_ends_with_the_grace() {
        let mut bundle = samples::bundle();
        let mut old = bundle.api_keys[0].clone();
        old.sha256 =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"tmk_the_old_one").as_ref().into();
        old.expires_at = 1001;
        bundle.api_keys.push(old.clone());
        let (new, before) = (format!("Bearer {}", samples::API_KEY), "Bearer tmk_the_old_one");
        let tenant = samples::compile(&bundle);
        assert_eq!(check(&tenant, &[before]).unwrap().method, check(&tenant, &[&new]).unwrap().method);
        bundle.api_keys[1].expires_at = 1000;
        let tenant = samples::compile(&bundle);
        assert_eq!(check(&tenant, &[before]), Err(IdentityError::ApiKeyExpired));
        assert!(check(&tenant, &[&new]).is_ok());
    }

    #[test]
    fn a_scope_that_this_node_does_not_know_is_taken_for_the_narrowest() {
        let key = format!("Bearer {}", samples::API_KEY);
        for (scope, reach) in [("all", Reach::Everything), ("read", Reach::ReadOnly), ("x", Reach::ReadOnly)]
        {
            let mut bundle = samples::bundle();
            bundle.api_keys[0].scope = scope.into();
            assert_eq!(check(&samples::compile(&bundle), &[&key]).unwrap().reach, reach, "{scope}");
        }
    }

    #[test]
    fn a_principal_is_in_the_groups_that_the_bundle_says() {
        let key = format!("Bearer {}", samples::API_KEY);
        assert!(check(&samples::tenant(), &[&key]).unwrap().groups.is_empty());
        let (first, second) = (GroupId::new(), GroupId::new());
        let mut bundle = samples::bundle();
        bundle.members[0].group_ids = vec![second.to_string(), first.to_string()];
        assert_eq!(*check(&samples::compile(&bundle), &[&key]).unwrap().groups, [first, second]);
    }

    #[test]
    fn a_header_that_is_no_bearer_token_is_told_apart_from_none() {
        let tenant = samples::tenant();
        assert_eq!(check(&tenant, &[]), Err(IdentityError::Missing));
        for bad in ["Basic abc", "Bearer", "Bearer ", "Bearer a b", "abc"] {
            assert_eq!(check(&tenant, &[bad]), Err(IdentityError::Malformed), "{bad}");
        }
        assert_eq!(check(&tenant, &["Bearer a", "Bearer b"]), Err(IdentityError::Malformed));
        assert_eq!(check(&tenant, &["Bearer tmk_unknown"]), Err(IdentityError::ApiKey));
        assert_eq!(check(&tenant, &["Bearer nonsense"]), Err(IdentityError::Token));
    }
}
