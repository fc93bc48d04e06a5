//! A connector as one workspace has enabled it: where it is reached, with which credentials, and how its tools are shown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use toolmesh_proto::ids::{InstallationId, TenantId, UserId};
use toolmesh_proto::v1;
use url::Url;

use super::connector::Connector;
use super::tenant::{BundleError, Connectors, parse};

/// A connector that is enabled under a name.
#[derive(Debug)]
pub struct Installation {
    pub tenant: TenantId,
    pub id: InstallationId,
    pub name: String,
    pub connector: Arc<Connector>,
    pub base: Url,
    pub exposure: Exposure,
    pub credentials: Vec<v1::SealedCredential>,
    /// Access tokens of an earlier epoch are no longer used.
    pub grant_epoch: u64,
    /// Its tools' and prompts' names have no prefix.
    pub bare_names: bool,
    /// Longest wait for the answer to one call, where the installation says so.
    pub timeout: Option<Duration>,
    /// Each caller uses an account of their own.
    pub personal: bool,
    /// Members' own accounts that changed lately, each with its epoch.
    pub(super) connections: HashMap<UserId, u64>,
}

/// Where clients find the tools of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// In the list of tools.
    Direct,
    /// From code.
    Code,
    Both,
}

impl Installation {
    /// Compiles one installation.
    ///
    /// # Errors
    /// When its connector is not there or was refused, or its own data is malformed.
    pub fn compile(
        tenant: TenantId,
        installation: &v1::Installation,
        connectors: Connectors<'_>,
    ) -> Result<Self, BundleError> {
        let name = || installation.name.clone();
        let connector = match connectors(&installation.connector_hash) {
            Some(Ok(connector)) => connector,
            Some(Err(reason)) => return Err(BundleError::BadConnector { installation: name(), reason }),
            None => {
                let hash = installation.connector_hash.clone();
                return Err(BundleError::NoConnector { installation: name(), hash });
            }
        };
        let base = Url::parse(&installation.base_url)
            .ok()
            .filter(|url| url.has_host() && url.fragment().is_none())
            .filter(|url| url.query().is_none() || connector.server.is_some());
        Ok(Self {
            tenant,
            id: parse("installation id", &installation.id)?,
            name: name(),
            connector,
            base: base.ok_or_else(|| BundleError::Malformed("base URL", installation.base_url.clone()))?,
            exposure: Exposure::of(installation.exposure()),
            credentials: installation.credentials.clone(),
            grant_epoch: installation.grant_epoch,
            bare_names: installation.bare_names,
            timeout: (installation.timeout_seconds > 0)
                .then(|| Duration::from_secs(installation.timeout_seconds.into())),
            personal: installation.personal,
            connections: installation.connections.iter().filter_map(connection).collect(),
        })
    }
}

impl Exposure {
    const fn of(sent: v1::Exposure) -> Self {
        match sent {
            v1::Exposure::Unspecified | v1::Exposure::Direct => Self::Direct,
            v1::Exposure::Code => Self::Code,
            v1::Exposure::Both => Self::Both,
        }
    }

    /// Whether code can call the tools.
    #[must_use]
    pub const fn in_code(self) -> bool {
        matches!(self, Self::Code | Self::Both)
    }
}

/// One that cannot be read is of nobody who could call.
fn connection(one: &v1::ConnectionEpoch) -> Option<(UserId, u64)> {
    Some((one.user_id.parse().ok()?, one.epoch))
}
