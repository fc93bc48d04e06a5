//! A tenant as a node serves it: its bundle, compiled, with everything looked up at run time laid out for one look.

use std::collections::HashMap;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use toolmesh_proto::claims::{self, Subject};
use toolmesh_proto::ids::{InstallationId, ServiceAccountId, TenantId, UserId};
use toolmesh_proto::{names, slug, v1};

use super::connector::Connector;
use super::entries::{ToolEntry, entries};
use super::installation::Installation;
use super::offers::{self, Offers};
use super::pages;
use super::people::{
    ApiKey, Holder, KeptOut, Member, ServiceAccount, kept_out, key, member, service_account, sound,
};
use super::server::Server;
use super::template::Work;

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
    /// What the MCP servers among the installations offer beside tools.
    pub offers: Offers,
    /// Where in `tools` those of an installation are.
    ranges: HashMap<InstallationId, Range<usize>>,
    /// Whether an identity provider may vouch for its people.
    pub trusts_identity_provider: bool,
    /// Whether tools that do more than read need a scope of their own.
    pub writes_need_scope: bool,
    /// Whether tools that are hard to undo wait while nothing is heard of revocations.
    pub strict_when_cut_off: bool,
    /// How often its callers may ask, where that is less than the node allows; 0 for the node's.
    pub rate_limits: v1::RateLimits,
    /// Origins of web pages that may call from a browser, beside the console's and its own.
    pub browser_origins: Vec<String>,
    /// What ChatGPT looks for to see whose this host is; empty for nothing.
    pub openai_apps_challenge: String,
    members: HashMap<UserId, Member>,
    kept_out: HashMap<UserId, KeptOut>,
    service_accounts: HashMap<ServiceAccountId, ServiceAccount>,
    keys: HashMap<[u8; 32], ApiKey>,
    /// Parts of the bundle that cannot be served and are left out.
    pub faults: Vec<BundleError>,
    /// Of every installation in the bundle, those left out included.
    connector_hashes: Vec<String>,
}

/// Why a bundle, or a part of one, cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{0} {1:?} is malformed")]
    Malformed(&'static str, String),
    #[error("installation {installation:?} needs connector {hash}, which this node has not got")]
    NoConnector { installation: String, hash: String },
    #[error("installation {installation:?}: connector refused: {reason}")]
    BadConnector { installation: String, reason: String },
    #[error("two tools, prompts or installations are named {0:?}")]
    Twice(String),
    #[error("the alias {0:?} names no tool, or is reserved or taken")]
    Alias(String),
}

/// Finds a connector by its hash; an error says why it was refused.
pub type Connectors<'a> = &'a dyn Fn(&str) -> Option<Result<Arc<Connector>, String>>;

impl Tenant {
    /// Compiles a bundle. A part that cannot be served is left out and named in [`Self::faults`]: it must not hold up the
    /// rest, of which a removal may be one.
    ///
    /// # Errors
    /// When the tenant itself cannot be served.
    pub fn compile(bundle: &v1::TenantBundle, connectors: Connectors<'_>) -> Result<Self, BundleError> {
        let id: TenantId = parse("tenant id", &bundle.tenant_id)?;
        let mut faults = Vec::new();
        let (mut installations, mut tools, mut by_name) = (Vec::new(), Vec::new(), HashMap::new());
        let mut ranges = HashMap::new();
        let mut offers = Offers::default();
        for sent in &bundle.installations {
            let taken = installations.iter().any(|one: &Arc<Installation>| one.name == sent.name);
            let compiled = Installation::compile(id, sent, connectors).map(Arc::new);
            let installation = match compiled {
                Ok(_) if taken => {
                    faults.push(BundleError::Twice(sent.name.clone()));
                    continue;
                }
                Ok(installation) => installation,
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            };
            let entries = entries(&installation, sent, &by_name, &mut faults);
            ranges.insert(installation.id, tools.len()..tools.len() + entries.len());
            for entry in entries {
                // Of two with one name, the first keeps it.
                by_name.entry(entry.name.clone()).or_insert(tools.len());
                tools.push(entry);
            }
            offers.add(&installation, sent, &mut faults);
            installations.push(installation);
        }
        let readable = offers::readable(&installations);
        let work = Work::of_bundle();
        for entry in &mut tools {
            pages::lead(entry, |installation, uri| offers.public_uri(&readable, installation, uri, &work));
        }
        for alias in &bundle.aliases {
            if !set_alias(alias, &mut tools, &mut by_name) {
                faults.push(BundleError::Alias(alias.alias.clone()));
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
            offers,
            ranges,
            trusts_identity_provider: bundle.trusts_identity_provider,
            writes_need_scope: bundle.writes_need_scope,
            strict_when_cut_off: bundle.strict_when_cut_off,
            rate_limits: bundle.rate_limits.unwrap_or_default(),
            browser_origins: bundle.browser_origins.clone(),
            openai_apps_challenge: bundle.openai_apps_challenge.clone(),
            kept_out: bundle.kept_out.iter().filter_map(kept_out).collect(),
            members: sound(bundle.members.iter().map(member), &mut faults),
            service_accounts: sound(bundle.service_accounts.iter().map(service_account), &mut faults),
            keys: sound(bundle.api_keys.iter().map(key), &mut faults),
            faults,
            connector_hashes: bundle.installations.iter().map(|i| i.connector_hash.clone()).collect(),
        })
    }

    /// Whether this node has every connector that the bundle names, sound or not. If not, the control plane must send again.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.faults.iter().any(|fault| matches!(fault, BundleError::NoConnector { .. }))
    }

    /// The tool under a public name, switched on or not.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&ToolEntry> {
        self.tools.get(*self.by_name.get(name)?)
    }

    /// The tools of an installation, in its connector's order.
    #[must_use]
    pub fn entries_of(&self, installation: InstallationId) -> &[ToolEntry] {
        self.ranges.get(&installation).and_then(|range| self.tools.get(range.clone())).unwrap_or_default()
    }

    /// The tool of an installation that has this name in its connector.
    #[must_use]
    pub fn tool_of(&self, installation: InstallationId, own: &str) -> Option<&ToolEntry> {
        self.entries_of(installation).iter().find(|entry| entry.tool.name == own)
    }

    /// The installations of MCP servers.
    pub fn servers(&self) -> impl Iterator<Item = (&Arc<Installation>, &Server)> {
        self.installations.iter().filter_map(|one| Some((one, one.connector.server.as_ref()?)))
    }

    /// The installations of MCP servers that have resources.
    #[must_use]
    pub fn readable(&self) -> Vec<&Arc<Installation>> {
        offers::readable(&self.installations)
    }

    /// The member with an id.
    #[must_use]
    pub fn member(&self, user: UserId) -> Option<&Member> {
        self.members.get(&user)
    }

    /// Why somebody who is a member is not let in; nothing for who is, and for strangers.
    #[must_use]
    pub fn kept_out(&self, subject: Subject) -> Option<KeptOut> {
        match subject {
            Subject::User(id) => self.kept_out.get(&id).copied(),
            Subject::Service(_) => None,
        }
    }

    /// The service account with an id, if it may act.
    #[must_use]
    pub fn service_account(&self, id: ServiceAccountId) -> Option<&ServiceAccount> {
        self.service_accounts.get(&id)
    }

    /// Whose own account a caller uses at an installation; `None` where all use the workspace's. For an account that is nobody's
    /// any more, nothing that was given before counts.
    #[must_use]
    pub fn holder(&self, installation: &Installation, subject: Subject) -> Option<Holder> {
        if !installation.personal {
            return None;
        }
        let member = match subject {
            Subject::User(id) => Some(id),
            Subject::Service(id) => self.service_account(id).and_then(|account| account.owner),
        };
        let epoch = member.and_then(|id| {
            let since = self.member(id)?.since;
            Some(installation.connections.get(&id).copied().unwrap_or_default().max(since))
        });
        Some(Holder { subject, epoch: epoch.unwrap_or(u64::MAX) })
    }

    /// Whether somebody belongs to this tenant now.
    #[must_use]
    pub fn knows(&self, subject: Subject) -> bool {
        match subject {
            Subject::User(id) => self.member(id).is_some(),
            Subject::Service(id) => self.service_account(id).is_some(),
        }
    }

    /// The API key with a hash.
    #[must_use]
    pub fn key(&self, sha256: &[u8; 32]) -> Option<&ApiKey> {
        self.keys.get(sha256)
    }

    /// Hashes of the connectors it uses.
    pub fn connector_hashes(&self) -> impl Iterator<Item = &str> {
        self.connector_hashes.iter().map(String::as_str)
    }
}

pub(super) fn parse<T: FromStr>(what: &'static str, text: &str) -> Result<T, BundleError> {
    text.parse().map_err(|_| BundleError::Malformed(what, text.to_owned()))
}

fn host(origin: &str) -> Result<String, BundleError> {
    let malformed = || BundleError::Malformed("origin", origin.to_owned());
    let authority = origin.split_once("://").ok_or_else(malformed)?.1;
    slug::host_of(authority).ok_or_else(malformed)
}

/// Gives a tool another name without a prefix, which stands in the list instead.
fn set_alias(alias: &v1::ToolAlias, tools: &mut [ToolEntry], by_name: &mut HashMap<String, usize>) -> bool {
    let name = &alias.alias;
    let found = tools.iter().position(|entry| {
        entry.installation.id.to_string() == alias.installation_id && entry.tool.name == alias.tool
    });
    let sound = names::bare_name("", name) == *name && !name.is_empty();
    match found.and_then(|at| Some((at, tools.get_mut(at)?))) {
        Some((at, entry)) if sound && !by_name.contains_key(name) => {
            entry.set_alias(name);
            by_name.insert(name.clone(), at);
            true
        }
        _ => false,
    }
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
    fn an_installation_without_its_connector_is_left_out_and_the_rest_is_served() {
        let bundle = samples::bundle();
        let tenant = Tenant::compile(&bundle, &|_| None).unwrap();
        assert!(matches!(tenant.faults[..], [BundleError::NoConnector { .. }]), "{:?}", tenant.faults);
        assert!(tenant.tools.is_empty() && !tenant.is_whole());
        assert!(tenant.member(samples::USER.parse().unwrap()).is_some());
        let tenant = Tenant::compile(&bundle, &|_| Some(Err("unknown kind".into()))).unwrap();
        assert!(tenant.faults[0].to_string().contains("unknown kind"));
        assert!(tenant.is_whole() && tenant.connector_hashes().count() == 1);
    }

    #[test]
    fn of_two_installations_with_the_same_tools_the_first_is_served() {
        let mut bundle = samples::bundle();
        let mut second = bundle.installations[0].clone();
        second.id = "01890000-0000-7000-8000-0000000000aa".into();
        bundle.installations.push(second);
        let tenant = samples::compile(&bundle);
        assert!(matches!(tenant.faults[..], [BundleError::Twice(_)]), "{:?}", tenant.faults);
        let entry = tenant.tool("github_list_issues").unwrap();
        assert_eq!(entry.installation.id.to_string(), samples::INSTALLATION);
    }

    #[test]
    fn a_tenant_without_an_id_or_a_host_is_refused() {
        for (what, change) in [
            ("tenant id", (|b| b.tenant_id = "x".into()) as fn(&mut v1::TenantBundle)),
            ("origin", |b| b.origin = "acme.example.net".into()),
        ] {
            let mut bundle = samples::bundle();
            change(&mut bundle);
            let error = Tenant::compile(&bundle, &|_| None).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn what_a_caller_was_given_before_they_joined_or_disconnected_no_longer_counts() {
        let user: UserId = samples::USER.parse().unwrap();
        let robot = Subject::Service(samples::SERVICE_ACCOUNT.parse().unwrap());
        let holder = |bundle: &v1::TenantBundle, subject| {
            let tenant = samples::compile(bundle);
            tenant.holder(&tenant.installations[0], subject).map(|holder| holder.epoch)
        };
        let mut bundle = samples::bundle();
        assert_eq!(holder(&bundle, Subject::User(user)), None);
        bundle.installations[0].personal = true;
        bundle.members[0].since = 7;
        assert_eq!(holder(&bundle, Subject::User(user)), Some(7));
        assert_eq!(holder(&bundle, robot), Some(u64::MAX), "nobody lends it anything");
        bundle.service_accounts[0].owner_user_id = user.to_string();
        let ended = v1::ConnectionEpoch { user_id: user.to_string(), epoch: 9 };
        bundle.installations[0].connections.push(ended);
        assert_eq!(holder(&bundle, Subject::User(user)), Some(9));
        assert_eq!(holder(&bundle, robot), Some(9));
        assert_eq!(holder(&bundle, Subject::User(UserId::new())), Some(u64::MAX));
    }

    #[test]
    fn malformed_parts_are_named_and_left_out() {
        for (what, change) in [
            ("base URL", (|b| b.installations[0].base_url = "nonsense".into()) as fn(&mut v1::TenantBundle)),
            ("base URL", |b| b.installations[0].base_url = "https://x/?a=b".into()),
            ("user id", |b| b.members[0].user_id = "x".into()),
            ("group id", |b| b.members[0].group_ids = vec!["x".into()]),
            ("API key", |b| b.api_keys[0].sha256 = vec![1, 2]),
            ("API key", |b| b.api_keys[0].service_account_id = samples::SERVICE_ACCOUNT.into()),
            ("service account id", |b| b.service_accounts[0].id = "x".into()),
        ] {
            let mut bundle = samples::bundle();
            change(&mut bundle);
            let tenant = samples::compile(&bundle);
            assert_eq!(tenant.faults.len(), 1);
            let fault = tenant.faults[0].to_string();
            assert!(fault.contains(what), "{fault}");
        }
    }
}
