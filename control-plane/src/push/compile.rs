//! From rows to one tenant's bundle.

use std::collections::BTreeMap;
use std::sync::Arc;

use toolmesh_proto::ids::TenantId;
use toolmesh_proto::slug::TenantOrigins;
use toolmesh_proto::v1;

use crate::accounts::{keys, members};
use crate::connectors::Installations;
use crate::db::Db;
use crate::error::Result;
use crate::tenants;

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
    /// Compiles a tenant's bundle; `NotFound` for a tenant that is gone.
    ///
    /// The revision is read before everything else: a change that commits meanwhile may be in the bundle already, and brings
    /// its own, higher revision right after.
    ///
    /// # Errors
    /// When the database fails or a credential does not open.
    pub async fn compile(&self, tenant: TenantId) -> Result<Compiled> {
        let tenant = tenants::by_id(&self.db, tenant).await?;
        let mut tx = self.db.tenant(tenant.id).await?;
        let members = members::list(&mut tx).await?;
        let keys = keys::store::for_nodes(&mut tx).await?;
        let mut connectors = BTreeMap::new();
        let mut installations = Vec::new();
        for (installation, connector) in self.installations.for_nodes(&mut tx).await? {
            connectors.insert(installation.connector_hash.clone(), connector);
            installations.push(installation);
        }
        let slug = tenant.slug.as_str();
        let bundle = v1::TenantBundle {
            tenant_id: tenant.id.to_string(),
            revision: tenant.revision.0,
            slug: slug.to_owned(),
            name: tenant.name,
            origin: self.origins.of_stored(slug),
            oauth_base: format!("{}/oauth/{slug}", self.console_origin),
            installations,
            members: members.into_iter().map(member).collect(),
            api_keys: keys.into_iter().map(api_key).collect(),
        };
        Ok(Compiled { bundle, connectors })
    }
}

fn member(member: members::Member) -> v1::Member {
    v1::Member {
        user_id: member.user_id.to_string(),
        email: member.email,
        role: member.role.as_str().to_owned(),
    }
}

fn api_key(key: keys::store::NodeKey) -> v1::ApiKey {
    v1::ApiKey {
        id: key.id.to_string(),
        user_id: key.user_id.to_string(),
        name: key.name,
        sha256: key.sha256,
        expires_at: key.expires_at.map_or(0, time::OffsetDateTime::unix_timestamp),
    }
}
