//! API keys: known by the SHA-256 of the whole key, found by one look into a map, never by going through all of them.

use std::sync::Arc;

use aws_lc_rs::digest;
use subtle::ConstantTimeEq as _;

use super::{IdentityError, Method, Principal, Reach, Revoked, let_in};
use crate::catalog::Tenant;

pub(super) fn check(
    tenant: &Tenant,
    revoked: &Revoked,
    key: &str,
    now: i64,
) -> Result<Principal, IdentityError> {
    stands(tenant, revoked, &digest(key)?, now)
}

/// What a key is known by.
pub(super) fn digest(key: &str) -> Result<[u8; 32], IdentityError> {
    let digest = digest::digest(&digest::SHA256, key.as_bytes());
    digest.as_ref().try_into().map_err(|_| IdentityError::ApiKey)
}

/// The principal of the key that is known by this.
pub(super) fn stands(
    tenant: &Tenant,
    revoked: &Revoked,
    sha256: &[u8; 32],
    now: i64,
) -> Result<Principal, IdentityError> {
    let found = tenant.key(sha256).ok_or(IdentityError::ApiKey)?;
    if !bool::from(found.sha256.ct_eq(sha256)) {
        return Err(IdentityError::ApiKey);
    }
    if found.expires_at != 0 && found.expires_at <= now {
        return Err(IdentityError::ApiKeyExpired);
    }
    let_in(tenant, found.subject)?;
    if revoked.refuses_key(tenant.id, found.subject, found.created_at) {
        return Err(IdentityError::Revoked);
    }
    let reach = if found.read_only { Reach::ReadOnly } else { Reach::Everything };
    Ok(Principal {
        tenant: tenant.id,
        subject: found.subject,
        method: Method::ApiKey { id: found.id },
        reach,
        groups: Arc::default(),
    })
}
