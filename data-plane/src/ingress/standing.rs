//! A caller's right to what was begun, looked up again while it goes on.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use time::OffsetDateTime;
use toolmesh_proto::ids::TenantId;

use crate::catalog::Tenant;
use crate::identity::{IdentityError, Principal, Proof, authenticate, proof};
use crate::node::App;

/// Who called, as their request showed it. Never prints the token.
#[derive(Clone)]
pub struct Standing {
    app: Arc<App>,
    tenant: TenantId,
    headers: HeaderMap,
}

impl Standing {
    /// Keeps of the headers what shows who called.
    #[must_use]
    pub fn new(app: Arc<App>, tenant: TenantId, headers: &HeaderMap) -> Self {
        let mut kept = HeaderMap::new();
        for value in headers.get_all(AUTHORIZATION) {
            let mut value = value.clone();
            value.set_sensitive(true);
            kept.append(AUTHORIZATION, value);
        }
        Self { app, tenant, headers: kept }
    }

    /// Whether the caller may still have what was begun. A token that merely expired meanwhile was good when it counted.
    #[must_use]
    pub fn holds(&self) -> bool {
        let table = &self.app.table;
        let Some(tenant) = table.tenant_by_id(self.tenant) else { return false };
        let now = OffsetDateTime::now_utc().unix_timestamp();
        match authenticate(&tenant, &table.keys(), &table.revoked(), &self.headers, now) {
            Ok(_) | Err(IdentityError::Expired | IdentityError::ApiKeyExpired) => true,
            Err(_) => false,
        }
    }

    /// What is in force now: the tenant, and the caller in it. `None` if the caller may not have what was begun any more. A
    /// token that merely expired meanwhile keeps the caller that it showed.
    #[must_use]
    pub fn renew(&self, before: &Principal) -> Option<(Arc<Tenant>, Principal)> {
        let table = &self.app.table;
        let tenant = table.tenant_by_id(self.tenant)?;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let principal = match authenticate(&tenant, &table.keys(), &table.revoked(), &self.headers, now) {
            Ok(principal) => principal,
            Err(IdentityError::Expired | IdentityError::ApiKeyExpired) => before.clone(),
            Err(_) => return None,
        };
        Some((tenant, principal))
    }

    /// Who is calling, by what is in force now; `None` for nobody, which includes one whose token has expired.
    #[must_use]
    pub fn principal(&self) -> Option<(Arc<Tenant>, Principal)> {
        let table = &self.app.table;
        let tenant = table.tenant_by_id(self.tenant)?;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let principal = authenticate(&tenant, &table.keys(), &table.revoked(), &self.headers, now).ok()?;
        Some((tenant, principal))
    }

    /// What the request showed, to be kept for later; `None` where that is nothing.
    #[must_use]
    pub fn proof(&self) -> Option<Proof> {
        proof(&self.app.table.keys(), &self.headers)
    }

    /// Waits until it holds no longer.
    pub async fn ended(&self) {
        let mut changes = self.app.table.access_changes();
        while self.holds() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
