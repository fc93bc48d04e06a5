//! From rows to one tenant's bundle.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use time::OffsetDateTime;
use toolmesh_proto::ids::{TenantId, UserId};
use toolmesh_proto::slug::TenantOrigins;
use toolmesh_proto::v1;

use super::store;
use crate::accounts::factors::requirement::{self, Admitted};
use crate::accounts::{groups, keys, members, service_accounts};
use crate::connectors::{Installations, aliases};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::oauth::identity_providers;
use crate::tenants::{self, Tenant};

/// Raise it when the same rows become another bundle than before: nodes then take every bundle again.
const BUNDLE_FORMAT: u32 = 15;

/// A bundle with the connectors that it names, by hash.
#[derive(Clone)]
pub struct Compiled {
    pub bundle: v1::TenantBundle,
    pub connectors: BTreeMap<String, Arc<v1::Connector>>,
}

/// Makes bundles. Cheap to clone.
#[derive(Clone)]
pub struct Compiler {
    pub db: Db,
    pub installations: Installations,
    pub origins: TenantOrigins,
    pub console_origin: String,
}

impl Compiler {
    /// What is in bundles besides rows. Processes with another basis make other bundles of the same revision.
    pub(super) fn basis(&self) -> String {
        format!("format {BUNDLE_FORMAT}, console {}, tenants {}", self.console_origin, self.origins.pattern())
    }

    /// Compiles a tenant's bundle; `NotFound` for a tenant that is gone. All of it, the revision too, is read from one moment
    /// of the database.
    ///
    /// # Errors
    /// When the database fails, a credential does not open, or bundles are made from another basis by now.
    pub async fn compile(&self, tenant: TenantId) -> Result<Compiled> {
        let mut tx = self.db.tenant_snapshot(tenant).await?;
        if store::basis(tx.conn()).await?.is_some_and(|basis| basis != self.basis()) {
            return Err(Error::Internal("another process has changed what bundles are made from".to_owned()));
        }
        let tenant = tenants::store::by_id(&mut tx).await?.ok_or(Error::NotFound)?;
        let members = members::list(&mut tx).await?;
        let Admitted { let_in, without_factor } = requirement::admit(&mut tx, members).await?;
        let groups = groups::store::list(&mut tx).await?;
        let mut groups_of = by_user(groups::store::members(&mut tx).await?);
        let keys = keys::store::for_nodes(&mut tx).await?;
        let service_accounts = service_accounts::store::for_nodes(&mut tx).await?;
        let access = tenants::access::for_nodes(&mut tx).await?;
        let endpoint = tenants::endpoint::for_nodes(&mut tx).await?;
        let aliases = aliases::for_nodes(&mut tx).await?;
        let trusts_identity_provider = identity_providers::store::any(&mut tx).await?;
        let installations = self.installations.for_nodes(&mut tx).await?;
        tx.commit().await?;
        let mut connectors = BTreeMap::new();
        let mut installed = Vec::with_capacity(installations.len());
        for (installation, connector) in installations {
            connectors.insert(installation.connector_hash.clone(), connector);
            installed.push(installation);
        }
        let bundle = v1::TenantBundle {
            installations: installed,
            kept_out: kept_out(&let_in, &without_factor),
            members: let_in
                .into_iter()
                .filter(|member| member.suspended_at.is_none())
                .map(|found| member(groups_of.remove(&found.user_id).unwrap_or_default(), found))
                .collect(),
            groups: groups.into_iter().map(|g| v1::Group { id: g.id.to_string(), name: g.name }).collect(),
            api_keys: keys.into_iter().flat_map(api_keys).collect(),
            service_accounts: service_accounts.into_iter().map(service_account).collect(),
            trusts_identity_provider,
            writes_need_scope: access.writes_need_scope,
            strict_when_cut_off: access.strict_when_cut_off,
            aliases,
            rate_limits: endpoint.limits.sent(),
            browser_origins: endpoint.browser_origins,
            openai_apps_challenge: endpoint.openai_apps_challenge,
            ..self.head(tenant)
        };
        Ok(Compiled { bundle, connectors })
    }

    /// A bundle with what the tenant's own row says.
    fn head(&self, tenant: Tenant) -> v1::TenantBundle {
        let slug = tenant.slug.as_str();
        v1::TenantBundle {
            tenant_id: tenant.id.to_string(),
            revision: tenant.revision.0,
            slug: slug.to_owned(),
            name: tenant.name,
            origin: self.origins.of_stored(slug),
            oauth_base: format!("{}/oauth/{slug}", self.console_origin),
            ..v1::TenantBundle::default()
        }
    }
}

/// The groups of each user.
fn by_user(members: Vec<groups::GroupMember>) -> HashMap<UserId, Vec<String>> {
    let mut found: HashMap<UserId, Vec<String>> = HashMap::new();
    for member in members {
        found.entry(member.user_id).or_default().push(member.group_id.to_string());
    }
    found
}

fn member(group_ids: Vec<String>, member: members::Member) -> v1::Member {
    v1::Member {
        group_ids,
        user_id: member.user_id.to_string(),
        email: member.email,
        role: member.role.as_str().to_owned(),
        since: u64::try_from(member.created_at.unix_timestamp_nanos() / 1000).unwrap_or_default(),
    }
}

/// Who is not let in, and why. For who is suspended that is the reason, whatever else they lack.
fn kept_out(let_in: &[members::Member], without_factor: &[members::Member]) -> Vec<v1::KeptOut> {
    use v1::KeptOutReason::{SecondFactor, Suspended};
    let suspended = let_in.iter().filter(|member| member.suspended_at.is_some()).map(|m| (m, Suspended));
    let without = without_factor.iter().map(|member| match member.suspended_at {
        Some(_) => (member, Suspended),
        None => (member, SecondFactor),
    });
    let told = suspended.chain(without);
    told.map(|(m, why)| v1::KeptOut { user_id: m.user_id.to_string(), reason: why.into() }).collect()
}

fn service_account((id, name, owner): (uuid::Uuid, String, uuid::Uuid)) -> v1::ServiceAccount {
    v1::ServiceAccount { id: id.to_string(), name, owner_user_id: owner.to_string() }
}

/// A key, and while it is rolled the secret before once more, which ends with the grace or with the key.
fn api_keys(key: keys::store::NodeKey) -> impl Iterator<Item = v1::ApiKey> {
    let id = |id: Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let ends = key.expires_at.map_or(0, OffsetDateTime::unix_timestamp);
    let now = v1::ApiKey {
        id: key.id.to_string(),
        user_id: id(key.user_id),
        service_account_id: id(key.service_account_id),
        name: key.name,
        sha256: key.sha256,
        scope: key.scope,
        expires_at: ends,
        created_at: key.created_at.unix_timestamp(),
    };
    let before = key.previous_sha256.zip(key.previous_until).map(|(sha256, until)| {
        let until = until.unix_timestamp();
        let expires_at = if ends == 0 { until } else { until.min(ends) };
        v1::ApiKey { sha256, expires_at, ..now.clone() }
    });
    std::iter::once(now).chain(before)
}
