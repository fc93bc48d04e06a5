//! What an installation is: a connector enabled in a workspace, its tools, and the credentials it asks for. Knows neither
//! the database nor how one is changed; that is in `installations`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use time::OffsetDateTime;
use toolmesh_proto::access::Access;
use toolmesh_proto::ids::{InstallationId, PrivateConnectorId};
use toolmesh_proto::{names, v1};

use super::exposure::Exposure;
use super::grants::GrantFacts;
use super::overrides::Override;
use crate::credentials::CredentialFacts;

/// A connector enabled in a workspace.
#[derive(Clone, Debug)]
pub struct Installation {
    pub id: InstallationId,
    pub name: String,
    pub base_url: String,
    pub connector_hash: String,
    pub connector: Arc<v1::Connector>,
    pub built_in: bool,
    /// The connector of the workspace's own that it stands on.
    pub private: Option<PrivateConnectorId>,
    pub created_at: OffsetDateTime,
    pub created_by: String,
    pub created_by_email: String,
    pub disabled: BTreeSet<String>,
    pub credentials: Vec<CredentialFacts>,
    /// What is known of its access tokens, where it lives on such.
    pub grant: Option<GrantFacts>,
    pub exposure: Exposure,
    /// Each member uses an account of their own.
    pub personal: bool,
    /// Tools that stand in the list though the others are for code.
    pub promoted: BTreeSet<String>,
    /// Its tools' names have no prefix.
    pub bare_names: bool,
    /// Longest wait for one call; 0 for the node's own.
    pub timeout_seconds: u32,
    /// What is said of tools in place of the connector, by its own name of them.
    pub overrides: BTreeMap<String, Override>,
}

/// One tool of an installation.
#[derive(Clone, Debug)]
pub struct ToolRow {
    /// The connector's own name.
    pub tool: String,
    /// What clients call.
    pub public_name: String,
    pub title: String,
    pub description: String,
    pub access: Access,
    pub enabled: bool,
    /// Not for clients: for composites and for code.
    pub hidden: bool,
    /// Whether it would stand in the list if it is on.
    pub in_list: bool,
    /// Something is said of it in place of the connector.
    pub overridden: bool,
}

impl ToolRow {
    /// Whether it stands in the list of tools of members who may use it.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.enabled && self.in_list
    }
}

impl Installation {
    /// All tools, in the connector's order.
    #[must_use]
    pub fn tools(&self) -> Vec<ToolRow> {
        let none = Override::default();
        let row = |tool: &v1::Tool| {
            let set = self.overrides.get(&tool.name).unwrap_or(&none);
            let said = |set: &str, own: &str| if set.is_empty() { own.to_owned() } else { set.to_owned() };
            ToolRow {
                public_name: self.public_name(&tool.name, &set.name),
                title: said(&set.title, &tool.title),
                description: said(&set.description, &tool.description),
                overridden: !set.is_empty(),
                access: Access::parse(&tool.access),
                enabled: !self.disabled.contains(&tool.name),
                hidden: tool.hidden,
                in_list: !tool.hidden
                    && (self.exposure != Exposure::Code || self.promoted.contains(&tool.name)),
                tool: tool.name.clone(),
            }
        };
        self.connector.tools.iter().map(row).collect()
    }

    /// What clients call a tool; `set` is its name in place of the connector's, empty for none. Without a prefix, a name that
    /// another tool of the workspace has keeps it, which nodes see to.
    #[must_use]
    pub fn public_name(&self, tool: &str, set: &str) -> String {
        let name = if set.is_empty() { tool } else { set };
        let plain = name.len() <= names::MAX_TOOL_NAME
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if self.bare_names && plain { name.to_owned() } else { names::tool_name(&self.name, name) }
    }

    /// How many of the tools that clients can use are on.
    #[must_use]
    pub fn tools_on(&self) -> usize {
        self.connector.tools.iter().filter(|tool| !tool.hidden && !self.disabled.contains(&tool.name)).count()
    }

    /// Credentials that the connector asks for and nobody has given; those that members enter for themselves are not among them.
    #[must_use]
    pub fn missing_credentials(&self) -> Vec<String> {
        let has = |name: &String| self.credentials.iter().any(|c| &c.name == name);
        let required = required_credentials(&self.connector);
        required.into_iter().filter(|name| self.is_of_workspace(name) && !has(name)).collect()
    }

    /// Whether a credential is the workspace's here: every one, and where each member uses an account of their own, those that
    /// members do not enter.
    #[must_use]
    pub fn is_of_workspace(&self, name: &str) -> bool {
        !self.personal || !entered_by_members(&self.connector).iter().any(|own| own == name)
    }
}

/// Logical names of the credentials that a connector does not work without; the password of basic auth is none of them.
#[must_use]
pub fn required_credentials(connector: &v1::Connector) -> Vec<String> {
    if connector.auth.as_ref().is_some_and(|auth| auth.optional) { Vec::new() } else { used(connector) }
}

fn used(connector: &v1::Connector) -> Vec<String> {
    let mut names = of_kind(connector);
    for name in shown_beside(connector) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Names of the keys that are shown beside the credential. A node has them, whatever the credential is got with.
pub fn shown_beside(connector: &v1::Connector) -> impl Iterator<Item = &String> {
    let also = connector.auth.as_ref().map(|auth| auth.also.as_slice()).unwrap_or_default();
    also.iter().map(|key| &key.credential)
}

/// Logical names of what members enter where each uses an account of their own; what is shown beside it, such as the id of an
/// application, is the workspace's for all. Of a provider where they log in, they enter nothing.
#[must_use]
pub fn entered_by_members(connector: &v1::Connector) -> Vec<String> {
    if oauth2(connector).is_some() {
        return Vec::new();
    }
    let mut names = of_kind(connector);
    names.extend(password(connector));
    names
}

/// Whether nodes get a credential of a connector that shows access tokens: only a key that is shown beside them, and never a
/// secret that a token is got with.
#[must_use]
pub fn is_for_nodes(connector: &v1::Connector, name: &str) -> bool {
    let Some(auth) = oauth2(connector) else { return true };
    let secrets =
        [&auth.client_secret_credential, &auth.refresh_token_credential, &auth.service_account_credential];
    shown_beside(connector).any(|beside| beside == name) && !secrets.iter().any(|own| *own == name)
}

fn of_kind(connector: &v1::Connector) -> Vec<String> {
    use v1::auth::Kind;
    match connector.auth.as_ref().and_then(|auth| auth.kind.as_ref()) {
        Some(Kind::Bearer(auth)) => vec![auth.credential.clone()],
        Some(Kind::Basic(auth)) => vec![auth.username_credential.clone()],
        Some(Kind::ApiKey(auth)) => vec![auth.credential.clone()],
        Some(Kind::Oauth2(auth)) => of_oauth2(auth),
        Some(Kind::Session(auth)) => each_once(auth.secrets.iter().map(|secret| &secret.credential)),
        Some(Kind::None(_)) | None => Vec::new(),
    }
}

/// All logical names, the optional ones too.
#[must_use]
pub fn known_credentials(connector: &v1::Connector) -> Vec<String> {
    let mut names = used(connector);
    names.extend(password(connector));
    names
}

/// The password beside a user's name.
fn password(connector: &v1::Connector) -> Option<String> {
    match connector.auth.as_ref()?.kind.as_ref()? {
        v1::auth::Kind::Basic(auth) => Some(auth.password_credential.clone()).filter(|name| !name.is_empty()),
        _ => None,
    }
}

/// The header that shows a credential of an MCP server, as its label.
#[must_use]
pub fn shown_in_header<'a>(connector: &'a v1::Connector, name: &str) -> Option<&'a str> {
    shown_headers(connector).into_iter().find(|(_, credential)| *credential == name).map(|(header, _)| header)
}

/// The headers in which an MCP server is shown keys, each with its credential's logical name; nothing for another way.
#[must_use]
pub fn shown_headers(connector: &v1::Connector) -> Vec<(&str, &str)> {
    use v1::api_key_auth::Place;
    use v1::auth::Kind;
    let Some(auth) = connector.auth.as_ref().filter(|_| connector.server.is_some()) else {
        return Vec::new();
    };
    let Some(Kind::ApiKey(first)) = &auth.kind else { return Vec::new() };
    let named = std::iter::once(first).chain(&auth.also).filter_map(|key| match &key.place {
        Some(Place::Header(name)) => Some((name.as_str(), key.credential.as_str())),
        _ => None,
    });
    named.collect()
}

/// How a connector gets access tokens, if it does.
#[must_use]
pub fn oauth2(connector: &v1::Connector) -> Option<&v1::OAuth2Auth> {
    match connector.auth.as_ref()?.kind.as_ref()? {
        v1::auth::Kind::Oauth2(auth) => Some(auth),
        _ => None,
    }
}

/// What people enter. The refresh token of somebody's consent comes back with them and is entered by nobody.
fn of_oauth2(auth: &v1::OAuth2Auth) -> Vec<String> {
    let entered = auth.flow() == v1::o_auth2_auth::Flow::RefreshToken;
    let refresh = Some(&auth.refresh_token_credential).filter(|_| entered);
    let names =
        [&auth.client_id_credential, &auth.client_secret_credential, &auth.service_account_credential];
    each_once(names.into_iter().chain(refresh))
}

fn each_once<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        if !once.contains(name) {
            once.push(name.clone());
        }
    }
    once
}
