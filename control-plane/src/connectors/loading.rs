//! Installations as they are kept, put together from their tables.

use std::sync::Arc;

use prost::Message as _;
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::v1;

use super::exposure::Exposure;
use super::{Installation, Installations, grants, overrides, store};
use crate::credentials;
use crate::db::TenantTx;
use crate::error::{Error, Result};

impl Installations {
    pub(super) async fn load(&self, tx: &mut TenantTx, id: InstallationId) -> Result<Installation> {
        let row = store::get(tx, id).await?.ok_or(Error::NotFound)?;
        complete(tx, vec![row], Some(id)).await?.pop().ok_or(Error::NotFound)
    }

    pub(super) async fn load_all(&self, tx: &mut TenantTx) -> Result<Vec<Installation>> {
        let rows = store::all(tx).await?;
        complete(tx, rows, None).await
    }
}

/// Adds what stands in other tables, with one query each; `only` where the rows are those of one installation.
pub(super) async fn complete(
    tx: &mut TenantTx,
    rows: Vec<store::InstallationRow>,
    only: Option<InstallationId>,
) -> Result<Vec<Installation>> {
    let mut disabled = store::disabled_tools(tx, only).await?;
    let mut promoted = store::promoted_tools(tx, only).await?;
    let mut credentials = credentials::facts(tx, only, None).await?;
    let mut granted = grants::facts(tx, only, None).await?;
    let mut overrides = overrides::store::all(tx, only).await?;
    let with_both = |row: store::InstallationRow| {
        let overrides = overrides.remove(&row.id).unwrap_or_default();
        Ok(Installation {
            connector: decode(&row)?,
            disabled: disabled.remove(&row.id).unwrap_or_default(),
            credentials: credentials.remove(&row.id).unwrap_or_default(),
            grant: granted.remove(&row.id),
            promoted: promoted.remove(&row.id).unwrap_or_default(),
            exposure: exposure(&row.exposure),
            personal: row.personal,
            id: row.id,
            name: row.name,
            base_url: row.base_url,
            connector_hash: row.connector_hash,
            built_in: row.built_in,
            private: row.private_connector_id.map(Into::into),
            created_at: row.created_at,
            created_by: row.created_by,
            created_by_email: row.created_by_email,
            bare_names: row.bare_names,
            timeout_seconds: row.timeout_seconds.unsigned_abs(),
            overrides,
        })
    };
    rows.into_iter().map(with_both).collect()
}

pub(super) fn decode(row: &store::InstallationRow) -> Result<Arc<v1::Connector>> {
    v1::Connector::decode(row.compiled.as_slice())
        .map(Arc::new)
        .map_err(|error| Error::Internal(format!("connector of installation {}: {error}", row.id)))
}

/// The table's own rule lets no other word in.
pub(super) fn exposure(word: &str) -> Exposure {
    Exposure::parse(word).unwrap_or_default()
}
