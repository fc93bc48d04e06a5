//! What nodes get of installations: what is pushed to them, and what they are handed to try a connection with.

use std::sync::Arc;

use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::seal::CredentialPlace;
use toolmesh_proto::{connector_hash, v1};

use super::installation::{entered_by_members, is_for_nodes, known_credentials, oauth2};
use super::installations::{Installations, given, same_origin};
use super::loading::{decode, exposure};
use super::{Install, grants, overrides, store, upstream};
use crate::accounts::members::{Membership, Permission};
use crate::credentials;
use crate::db::TenantTx;
use crate::error::{Error, Result};

impl Installations {
    /// What a node needs of every installation, and the connectors they stand on.
    ///
    /// # Errors
    /// When the database fails or a credential does not open.
    pub async fn for_nodes(&self, tx: &mut TenantTx) -> Result<Vec<(v1::Installation, Arc<v1::Connector>)>> {
        let rows = store::all(tx).await?;
        let mut disabled = store::disabled_tools(tx, None).await?;
        let mut promoted = store::promoted_tools(tx, None).await?;
        let mut credentials = credentials::for_nodes(tx, &self.vault, &self.sealer, None).await?;
        let epochs = grants::epochs(tx).await?;
        let mut overrides = overrides::store::all(tx, None).await?;
        let mut not_offered = upstream::store::switched_off(tx).await?;
        let mut connections = grants::changed_lately(tx).await?;
        let pushed = |row: store::InstallationRow| {
            let connector = decode(&row)?;
            // What access tokens are got with stays here; a node asks for the tokens.
            let lends = oauth2(&connector).is_some();
            let mut sealed = credentials.remove(&row.id).unwrap_or_default();
            // Nor does anything of the workspace's stand in for what members enter.
            let own = if row.personal { entered_by_members(&connector) } else { Vec::new() };
            sealed.retain(|one| is_for_nodes(&connector, &one.name) && !own.contains(&one.name));
            let installation = v1::Installation {
                id: row.id.to_string(),
                name: row.name,
                connector_hash: row.connector_hash,
                base_url: row.base_url,
                credentials: sealed,
                disabled_tools: disabled.remove(&row.id).unwrap_or_default().into_iter().collect(),
                personal: row.personal,
                connections: connections.remove(&row.id).filter(|_| row.personal).unwrap_or_default(),
                grant_epoch: if lends { epochs.get(&row.id).copied().unwrap_or(1) } else { 0 },
                exposure: exposure(&row.exposure).sent().into(),
                promoted_tools: promoted.remove(&row.id).unwrap_or_default().into_iter().collect(),
                disabled_definitions: not_offered.remove(&row.id).unwrap_or_default().into_iter().collect(),
                overrides: overrides
                    .remove(&row.id)
                    .unwrap_or_default()
                    .iter()
                    .map(|(tool, set)| set.sent(tool))
                    .collect(),
                bare_names: row.bare_names,
                timeout_seconds: row.timeout_seconds.unsigned_abs(),
            };
            Ok((installation, connector))
        };
        rows.into_iter().map(pushed).collect()
    }

    /// An installation that is not saved, or saved and partly changed, for a connection test on a node.
    ///
    /// # Errors
    /// As for `install`.
    pub async fn draft(
        &self,
        by: &Membership,
        saved: Option<InstallationId>,
        input: Install,
    ) -> Result<(v1::Connector, v1::Installation)> {
        by.require(Permission::Connectors)?;
        let id = saved.unwrap_or_else(InstallationId::new);
        let (connector, mut credentials, stored_for) = match saved {
            None => (self.prepare(&input.source)?.connector, Vec::new(), None),
            Some(id) => {
                let mut tx = self.db.tenant(by.tenant).await?;
                let installation = self.load(&mut tx, id).await?;
                let sealed = credentials::for_nodes(&mut tx, &self.vault, &self.sealer, Some(id)).await?;
                let sealed = sealed.into_values().flatten().collect();
                (Arc::unwrap_or_clone(installation.connector), sealed, Some(installation.base_url))
            }
        };
        let base_url = self.base_url(&input.base_url, &connector)?;
        if !stored_for.is_some_and(|known| same_origin(&known, &base_url)) {
            credentials.clear();
        }
        for (name, secret) in given(&connector, &known_credentials(&connector), input.credentials)? {
            let place = CredentialPlace { tenant: by.tenant, installation: id, name: &name };
            let sealed = self.sealer.seal(place, 0, &secret).map_err(Error::internal)?;
            credentials.retain(|c| c.name != name);
            credentials.push(sealed);
        }
        let installation = v1::Installation {
            id: id.to_string(),
            name: connector.name.clone(),
            connector_hash: connector_hash(&connector),
            base_url,
            credentials,
            ..v1::Installation::default()
        };
        Ok((connector, installation))
    }
}
