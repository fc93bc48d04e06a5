//! A tenant as a node serves it: its bundle, compiled, with everything looked up at run time laid out for one look.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use toolmesh_proto::ids::{ApiKeyId, InstallationId, TenantId, UserId};
use toolmesh_proto::{claims, names, slug, v1};
use url::Url;

use super::connector::{Connector, Tool};

/// One tenant, whole; never changed, only replaced.
#[derive(Debug)]
pub struct Tenant {
    pub id: TenantId,
    pub revision: u64,
    pub slug: String,
    pub name: String,
    pub origin: String,
    /// Its host, lower case, without a port.
    pub host: String,
    /// URL of the MCP endpoint: the audience of its tokens.
    pub resource: String,
    pub oauth_base: String,
    pub installations: Vec<Arc<Installation>>,
    /// In the order clients are shown them: by installation, then as in the connector.
    pub tools: Vec<ToolEntry>,
    by_name: HashMap<String, usize>,
    members: HashMap<UserId, Member>,
    keys: HashMap<[u8; 32], ApiKey>,
}

/// A connector that is enabled under a name.
#[derive(Debug)]
pub struct Installation {
    pub tenant: TenantId,
    pub id: InstallationId,
    pub name: String,
    pub connector: Arc<Connector>,
    pub base: Url,
    pub credentials: Vec<v1::SealedCredential>,
}

/// A tool under the name that clients call.
#[derive(Debug)]
pub struct ToolEntry {
    pub name: String,
    pub installation: Arc<Installation>,
    pub tool: Arc<Tool>,
    pub enabled: bool,
    /// Its entry in `tools/list`.
    pub listing: Box<RawValue>,
}

/// A person in the workspace.
#[derive(Clone, Debug)]
pub struct Member {
    pub email: String,
    pub role: String,
}

/// A key that acts as a member.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub user: UserId,
    pub sha256: [u8; 32],
    /// Seconds since the epoch; 0 for no expiry.
    pub expires_at: i64,
}

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{0} {1:?} is malformed")]
    Malformed(&'static str, String),
    #[error("installation {installation:?} needs connector {hash}, which this node has not got")]
    NoConnector { installation: String, hash: String },
    #[error("installation {installation:?}: connector refused: {reason}")]
    BadConnector { installation: String, reason: String },
    #[error("two tools are named {0:?}")]
    Twice(String),
}

/// Finds a connector by its hash; an error says why it was refused.
pub type Connectors<'a> = &'a dyn Fn(&str) -> Option<Result<Arc<Connector>, String>>;

impl Tenant {
    /// Compiles a bundle.
    ///
    /// # Errors
    /// Says which part cannot be served.
    pub fn compile(bundle: &v1::TenantBundle, connectors: Connectors<'_>) -> Result<Self, BundleError> {
        let id: TenantId = parse("tenant id", &bundle.tenant_id)?;
        let installations = bundle
            .installations
            .iter()
            .map(|installation| Installation::compile(id, installation, connectors).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let tools = entries(bundle, &installations)?;
        let mut by_name = HashMap::with_capacity(tools.len());
        for (index, entry) in tools.iter().enumerate() {
            if by_name.insert(entry.name.clone(), index).is_some() {
                return Err(BundleError::Twice(entry.name.clone()));
            }
        }
        Ok(Self {
            id,
            revision: bundle.revision,
            host: host(&bundle.origin)?,
            slug: bundle.slug.clone(),
            name: bundle.name.clone(),
            origin: bundle.origin.clone(),
            resource: claims::resource(&bundle.origin),
            oauth_base: bundle.oauth_base.clone(),
            installations,
            tools,
            by_name,
            members: members(bundle)?,
            keys: keys(bundle)?,
        })
    }

    /// The tool under a public name, switched on or not.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&ToolEntry> {
        self.tools.get(*self.by_name.get(name)?)
    }

    /// The member with an id.
    #[must_use]
    pub fn member(&self, user: UserId) -> Option<&Member> {
        self.members.get(&user)
    }

    /// The API key with a hash.
    #[must_use]
    pub fn key(&self, sha256: &[u8; 32]) -> Option<&ApiKey> {
        self.keys.get(sha256)
    }

    /// Hashes of the connectors it uses.
    pub fn connector_hashes(&self) -> impl Iterator<Item = &str> {
        self.installations.iter().map(|installation| installation.connector.hash.as_str())
    }
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
            .filter(|url| url.has_host() && url.query().is_none() && url.fragment().is_none());
        Ok(Self {
            tenant,
            id: parse("installation id", &installation.id)?,
            name: name(),
            connector,
            base: base.ok_or_else(|| BundleError::Malformed("base URL", installation.base_url.clone()))?,
            credentials: installation.credentials.clone(),
        })
    }
}

fn parse<T: FromStr>(what: &'static str, text: &str) -> Result<T, BundleError> {
    text.parse().map_err(|_| BundleError::Malformed(what, text.to_owned()))
}

fn host(origin: &str) -> Result<String, BundleError> {
    let malformed = || BundleError::Malformed("origin", origin.to_owned());
    let authority = origin.split_once("://").ok_or_else(malformed)?.1;
    slug::host_of(authority).ok_or_else(malformed)
}

fn entries(
    bundle: &v1::TenantBundle,
    installations: &[Arc<Installation>],
) -> Result<Vec<ToolEntry>, BundleError> {
    let mut entries = Vec::new();
    for (installation, sent) in installations.iter().zip(&bundle.installations) {
        for tool in &installation.connector.tools {
            let name = names::tool_name(&installation.name, &tool.name);
            let listing = listing(&name, tool).ok_or_else(|| BundleError::Malformed("tool", name.clone()))?;
            entries.push(ToolEntry {
                enabled: !sent.disabled_tools.contains(&tool.name),
                installation: Arc::clone(installation),
                tool: Arc::clone(tool),
                name,
                listing,
            });
        }
    }
    Ok(entries)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'a str,
    description: &'a str,
    input_schema: &'a RawValue,
    annotations: Annotations<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotations<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'a str,
    read_only_hint: bool,
    destructive_hint: bool,
    open_world_hint: bool,
}

fn listing(name: &str, tool: &Tool) -> Option<Box<RawValue>> {
    let hints = tool.access.hints();
    let listing = Listing {
        name,
        title: &tool.title,
        description: &tool.description,
        input_schema: &tool.schema,
        annotations: Annotations {
            title: &tool.title,
            read_only_hint: hints.read_only,
            destructive_hint: hints.destructive,
            open_world_hint: hints.open_world,
        },
    };
    serde_json::value::to_raw_value(&listing).ok()
}

fn members(bundle: &v1::TenantBundle) -> Result<HashMap<UserId, Member>, BundleError> {
    let member = |member: &v1::Member| {
        let user = parse("user id", &member.user_id)?;
        Ok((user, Member { email: member.email.clone(), role: member.role.clone() }))
    };
    bundle.members.iter().map(member).collect()
}

fn keys(bundle: &v1::TenantBundle) -> Result<HashMap<[u8; 32], ApiKey>, BundleError> {
    let key = |key: &v1::ApiKey| {
        let sha256: [u8; 32] = key
            .sha256
            .as_slice()
            .try_into()
            .map_err(|_| BundleError::Malformed("API key", key.id.clone()))?;
        let id = parse("API key id", &key.id)?;
        let user = parse("user id", &key.user_id)?;
        Ok((sha256, ApiKey { id, user, sha256, expires_at: key.expires_at }))
    };
    bundle.api_keys.iter().map(key).collect()
}

/// JSON of a list of tools, put together from their ready entries.
#[must_use]
pub fn list_json<'a>(entries: impl Iterator<Item = &'a ToolEntry>) -> Bytes {
    let mut json = String::from("{\"tools\":[");
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push_str(entry.listing.get());
    }
    json.push_str("]}");
    json.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;

    #[test]
    fn tools_are_found_by_their_public_name_and_listed_with_their_hints() {
        let tenant = samples::tenant();
        let entry = tenant.tool("github_list_issues").unwrap();
        let listing: serde_json::Value = serde_json::from_str(entry.listing.get()).unwrap();
        assert_eq!(listing["name"], "github_list_issues");
        assert_eq!(listing["annotations"]["readOnlyHint"], true);
        assert_eq!(listing["annotations"]["destructiveHint"], false);
        assert_eq!(listing["inputSchema"]["type"], "object");
        assert!(tenant.tool("list_issues").is_none());
    }

    #[test]
    fn a_bundle_with_a_missing_or_refused_connector_is_refused_with_the_reason() {
        let bundle = samples::bundle();
        let error = Tenant::compile(&bundle, &|_| None).unwrap_err();
        assert!(matches!(error, BundleError::NoConnector { .. }), "{error}");
        let error = Tenant::compile(&bundle, &|_| Some(Err("unknown kind".into()))).unwrap_err();
        assert!(error.to_string().contains("unknown kind"));
    }

    #[test]
    fn malformed_parts_are_named() {
        let connectors = samples::connectors();
        let find = |hash: &str| connectors.get(hash).cloned().map(Ok);
        for (what, change) in [
            ("tenant id", (|b| b.tenant_id = "x".into()) as fn(&mut v1::TenantBundle)),
            ("origin", |b| b.origin = "acme.example.net".into()),
            ("base URL", |b| b.installations[0].base_url = "nonsense".into()),
            ("base URL", |b| b.installations[0].base_url = "https://x/?a=b".into()),
            ("user id", |b| b.members[0].user_id = "x".into()),
            ("API key", |b| b.api_keys[0].sha256 = vec![1, 2]),
        ] {
            let mut bundle = samples::bundle();
            change(&mut bundle);
            let error = Tenant::compile(&bundle, &find).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
