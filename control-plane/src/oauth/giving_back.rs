//! The revocation endpoint: a client gives back a token that it no longer needs, or that got into wrong hands (RFC 7009).
//!
//! Either kind of token ends the whole grant that it came from, on every node: the refresh token and all access tokens of that
//! consent (RFC 7009, section 2.1, which lets a server do so for an access token). A client that logs somebody out holds both
//! and gives back one; what it kept must not go on working. A machine's token has a grant of its own, so it alone ends.

use http::HeaderMap;
use time::OffsetDateTime;
use toolmesh_proto::claims::{AccessClaims, LEEWAY_SECONDS};
use toolmesh_proto::ids::GrantId;

use super::clients::AuthMethod;
use super::clients::authentication::Authenticated;
use super::tokens::{TokenError, TokenRequest};
use super::{Oauth, store};
use crate::credentials::token;
use crate::db::TenantTx;
use crate::error::Result;
use crate::revocations;
use crate::tenants::Tenant;

/// A grant, and the client that holds tokens of it.
struct Held {
    grant: GrantId,
    client_id: String,
}

impl Oauth {
    /// Ends the grant of a token, whichever kind it is: `token_type_hint` would only say where to look first. A token that is
    /// unknown, has ended or is another client's is no error, and nothing happens (section 2.2). A client that says who it is
    /// must be it; one that says nothing has shown the token, which nobody else has, and must be one that has nothing to
    /// prove itself with.
    ///
    /// # Errors
    /// When there is no token, the client is not believed, or the database fails.
    pub async fn revoke(
        &self,
        tenant: &Tenant,
        headers: &HeaderMap,
        request: &TokenRequest,
    ) -> std::result::Result<(), TokenError> {
        if request.token.is_empty() {
            return Err(TokenError::InvalidRequest("token is missing"));
        }
        let silent = request.client_id.is_empty()
            && request.client_assertion.is_empty()
            && !headers.contains_key(http::header::AUTHORIZATION);
        let caller =
            if silent { None } else { Some(self.authenticate_client(tenant, headers, request).await?) };
        let mut tx = self.db.tenant(tenant.id).await?;
        let held = match self.held_by_refresh_token(&mut tx, &request.token).await? {
            Some(held) => Some(held),
            None => self.held_by_access_token(tenant, &request.token),
        };
        let Some(held) = held else { return Ok(()) };
        let own = self.is_own(&mut tx, caller.as_ref(), &held).await?;
        if own && !revocations::is_revoked(&mut tx, held.grant).await? {
            self.end_grant(tx, held.grant, "the client gave it back").await?;
        }
        Ok(())
    }

    async fn held_by_refresh_token(&self, tx: &mut TenantTx, token: &str) -> Result<Option<Held>> {
        let Some(id) = store::grant_of_refresh(tx, &token::hash(token)).await? else { return Ok(None) };
        let grant = store::lock_grant(tx, id).await?;
        Ok(grant.map(|grant| Held { grant: grant.id, client_id: grant.client_id }))
    }

    /// By what the token itself says, if we signed it for this workspace and it has not ended.
    fn held_by_access_token(&self, tenant: &Tenant, token: &str) -> Option<Held> {
        let claims: AccessClaims = self.keys.verify(token)?;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let ends = claims.exp.saturating_add(LEEWAY_SECONDS.cast_signed());
        let here = claims.tid.parse() == Ok(tenant.id) && claims.iss == self.origin(tenant.slug.as_str());
        let grant = claims.sid.parse().ok().filter(|_| here && ends > now)?;
        Some(Held { grant, client_id: claims.client_id })
    }

    async fn is_own(&self, tx: &mut TenantTx, caller: Option<&Authenticated>, held: &Held) -> Result<bool> {
        match caller {
            Some(caller) => Ok(held.client_id == caller.client.client_id),
            None => {
                let client = self.client(tx, &held.client_id).await?;
                Ok(client.is_some_and(|client| client.auth_method == AuthMethod::None))
            }
        }
    }
}
