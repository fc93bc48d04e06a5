//! From a request's `Authorization` header to a principal.
//!
//! Everything is checked on every request against the bundle in force, so that a removal holds from the next push on. It
//! knows nothing of tools or of what the principal wants.

mod api_key;
pub mod challenge;
pub mod keys;
mod token;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use toolmesh_proto::claims::API_KEY_PREFIX;
use toolmesh_proto::ids::{ApiKeyId, TenantId, UserId};

pub use self::keys::Keys;
use crate::catalog::Tenant;

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub tenant: TenantId,
    pub user: UserId,
    pub method: Method,
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
    #[error("you are no longer a member of this workspace")]
    NotAMember,
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
    headers: &HeaderMap,
    now: i64,
) -> Result<Principal, IdentityError> {
    let token = bearer(headers)?;
    let principal = if token.starts_with(API_KEY_PREFIX) {
        api_key::check(tenant, token, now)?
    } else {
        token::check(tenant, keys, token, now)?
    };
    match tenant.member(principal.user) {
        Some(_) => Ok(principal),
        None => Err(IdentityError::NotAMember),
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
        authenticate(tenant, &Keys::default(), &with(values), 1000)
    }

    #[test]
    fn an_api_key_acts_as_its_member_until_either_is_gone() {
        let key = format!("Bearer {}", samples::API_KEY);
        let principal = check(&samples::tenant(), &[&key]).unwrap();
        assert_eq!(principal.user.to_string(), samples::USER);
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
