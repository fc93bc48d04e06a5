//! Which clients may be used in a workspace: any that a member allows, each after an admin has allowed it once, or those of
//! certain hosts. What is in use stays allowed when the rule gets stricter; an admin blocks it by hand.

use aws_lc_rs::digest;
use url::{Host, Url};

use super::{Client, Kind, Standing, host_of, store};
use crate::accounts::members::{self, Membership, Permission};
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};
use crate::oauth::{Oauth, redirect};

/// Most hosts of a list.
const MAX_HOSTS: usize = 100;

/// Most clients that wait for an admin; more are not noted.
const MAX_PENDING: i64 = 200;

/// The workspace's rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Members decide.
    #[default]
    Open,
    /// An admin allows a client before members can.
    Approve,
    /// Clients of listed hosts; others wait for an admin.
    Hosts,
}

impl Policy {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approve => "approve",
            Self::Hosts => "hosts",
        }
    }
}

impl std::str::FromStr for Policy {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Open, Self::Approve, Self::Hosts];
        let known = all.into_iter().find(|policy| policy.as_str() == text);
        known.ok_or_else(|| Error::field("policy", "Choose one of the three."))
    }
}

impl TryFrom<String> for Policy {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// The rule with its list.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub struct Rules {
    #[sqlx(try_from = "String")]
    pub policy: Policy,
    pub hosts: Vec<String>,
}

/// The workspace's rules.
///
/// # Errors
/// `Forbidden` for who may not change them.
pub async fn rules(db: &Db, by: &Membership) -> Result<Rules> {
    by.require(Permission::Clients)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::rules(&mut tx).await
}

/// Changes the rules.
///
/// # Errors
/// `Forbidden` for who may not; a field error for a list that cannot be used.
pub async fn set_rules(db: &Db, by: &Membership, policy: &str, hosts: &str) -> Result<()> {
    let rules = Rules { policy: policy.parse()?, hosts: parse_hosts(hosts)? };
    if rules.policy == Policy::Hosts && rules.hosts.is_empty() {
        return Err(Error::field("hosts", "Enter at least one host, such as chatgpt.com."));
    }
    let mut tx = db.tenant(by.tenant).await?;
    let by = members::still(&mut tx, by).await?;
    by.require(Permission::Clients)?;
    store::set_rules(&mut tx, &rules, by.user).await?;
    Ok(tx.commit().await?)
}

/// Hosts, one per line or with commas; `*.example.com` stands for all below it.
fn parse_hosts(text: &str) -> Result<Vec<String>> {
    let mut hosts: Vec<String> = Vec::new();
    for word in text.split([',', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty()) {
        let name = word.strip_prefix("https://").unwrap_or(word).trim_end_matches('/');
        let (star, bare) = name.strip_prefix("*.").map_or(("", name), |bare| ("*.", bare));
        let shown: String = word.chars().take(100).collect();
        let wrong = || Error::field("hosts", format!("{shown} is no host name. Write it as chatgpt.com."));
        let host = match Host::parse(bare).map_err(|_| wrong())? {
            Host::Domain(name) if name.contains('.') || name == "localhost" => name,
            _ => return Err(wrong()),
        };
        let host = format!("{star}{host}");
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts.len() > MAX_HOSTS {
        return Err(Error::field("hosts", "Use 100 hosts or fewer."));
    }
    Ok(hosts)
}

impl Rules {
    /// Whether every host that gets to see a code is on the list. For a document that is the host that vouches for it.
    fn covers(&self, client: &Client) -> bool {
        match client.kind {
            Kind::Manual => true,
            Kind::MetadataDocument => self.lists(&client.client_id),
            Kind::Registered => client.redirect_uris.iter().all(|uri| self.lists(uri)),
        }
    }

    fn lists(&self, address: &str) -> bool {
        let Ok(url) = Url::parse(address) else { return false };
        let host = match url.host_str() {
            Some(_) if redirect::is_loopback(&url) => "localhost",
            Some(host) if url.scheme() == "https" => host,
            _ => return false,
        };
        self.hosts.iter().any(|listed| match listed.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(parent).is_some_and(|below| below.ends_with('.')),
            None => listed == host,
        })
    }
}

/// What becomes of a client by the workspace's rules. One that registers itself anew is what it was before: blocked if that was
/// blocked, and allowed if that was.
pub(in crate::oauth) async fn standing(tx: &mut TenantTx, client: &Client) -> Result<Standing> {
    if client.stored && client.standing != Standing::Pending {
        return Ok(client.standing);
    }
    let twins = match client.kind {
        Kind::Registered => store::twins(tx, &fingerprint(client)).await?,
        Kind::MetadataDocument | Kind::Manual => Vec::new(),
    };
    if twins.contains(&Standing::Blocked) {
        return Ok(Standing::Blocked);
    }
    let rules = store::rules(tx).await?;
    let allowed = match rules.policy {
        Policy::Open => true,
        Policy::Approve => twins.contains(&Standing::Allowed),
        Policy::Hosts => rules.covers(client) || twins.contains(&Standing::Allowed),
    };
    Ok(if allowed { Standing::Allowed } else { Standing::Pending })
}

impl Oauth {
    /// What becomes of a client that a member wants to use. One that has to wait is noted for the admins.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn admit(&self, member: &Membership, client: &Client) -> Result<Standing> {
        let mut tx = self.db.tenant(member.tenant).await?;
        let standing = standing(&mut tx, client).await?;
        if standing == Standing::Pending && !client.stored {
            let fingerprint = fingerprint(client);
            let known =
                client.kind == Kind::Registered && !store::twins(&mut tx, &fingerprint).await?.is_empty();
            if !known && store::count_pending(&mut tx).await? < MAX_PENDING {
                let waiting = Client { standing, ..client.clone() };
                store::upsert(&mut tx, &waiting, &fingerprint, Some(member.user)).await?;
                tx.commit().await?;
            }
        }
        Ok(standing)
    }
}

/// What makes two registrations the same program, as far as anybody can tell: name and redirects, but for the port on the
/// loopback interface. Clients register again at every connection, and get another id each time.
#[must_use]
pub fn fingerprint(client: &Client) -> Vec<u8> {
    let mut redirects: Vec<String> = client.redirect_uris.iter().map(|uri| without_port(uri)).collect();
    redirects.sort();
    redirects.dedup();
    let text = format!("{}\n{}\n{}", client.kind.as_str(), client.name, redirects.join("\n"));
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

fn without_port(uri: &str) -> String {
    let Ok(mut url) = Url::parse(uri) else { return uri.to_owned() };
    if redirect::is_loopback(&url) && url.set_port(None).is_ok() { url.into() } else { uri.to_owned() }
}

/// The hosts that a client's people are sent to, each once.
#[must_use]
pub fn redirect_hosts(redirect_uris: &[String]) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for uri in redirect_uris {
        let host = match Url::parse(uri) {
            Ok(url) if redirect::is_loopback(&url) => "this computer".to_owned(),
            Ok(url) if url.scheme() == "https" => host_of(uri).unwrap_or_default(),
            _ => redirect::display_host(uri),
        };
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::clients::AuthMethod;

    fn client(kind: Kind, id: &str, redirects: &[&str]) -> Client {
        Client {
            client_id: id.to_owned(),
            name: "Example".to_owned(),
            redirect_uris: redirects.iter().map(|uri| (*uri).to_owned()).collect(),
            kind,
            auth_method: AuthMethod::None,
            jwks: None,
            jwks_uri: None,
            grant_types: Vec::new(),
            standing: Standing::Allowed,
            stored: false,
        }
    }

    #[test]
    fn a_client_that_registers_again_is_recognised_whatever_its_port() {
        let one = client(Kind::Registered, "a", &["http://localhost:1/cb", "https://a.example/cb"]);
        let again = client(Kind::Registered, "b", &["https://a.example/cb", "http://localhost:2/cb"]);
        assert_eq!(fingerprint(&one), fingerprint(&again));
        for other in [
            client(Kind::Registered, "a", &["https://a.example/cb"]),
            client(Kind::Registered, "a", &["http://localhost:1/other", "https://a.example/cb"]),
            client(Kind::Registered, "a", &["http://localhost:1/cb", "https://a.example:444/cb"]),
            client(Kind::Manual, "a", &["http://localhost:1/cb", "https://a.example/cb"]),
        ] {
            assert_ne!(fingerprint(&one), fingerprint(&other), "{other:?}");
        }
    }

    #[test]
    fn a_list_of_hosts_covers_what_every_code_goes_to() {
        let rules = Rules {
            policy: Policy::Hosts,
            hosts: parse_hosts("chatgpt.com, *.claude.ai\nhttps://vscode.dev/").unwrap(),
        };
        let registered = |redirects: &[&str]| rules.covers(&client(Kind::Registered, "x", redirects));
        assert!(registered(&["https://chatgpt.com/cb", "https://vscode.dev/redirect"]));
        assert!(registered(&["https://api.claude.ai/cb"]));
        for bad in [
            &["https://chatgpt.com/cb", "https://evil.example/cb"][..],
            &["https://claude.ai/cb"],
            &["https://evilclaude.ai/cb"],
            &["https://chatgpt.com.evil.example/cb"],
            &["http://localhost/cb"],
            &["cursor://chatgpt.com/cb"],
        ] {
            assert!(!registered(bad), "{bad:?}");
        }
        let document = |id| rules.covers(&client(Kind::MetadataDocument, id, &["http://localhost/cb"]));
        assert!(document("https://chatgpt.com/oauth/client.json"));
        assert!(!document("https://evil.example/chatgpt.com"));
    }

    #[test]
    fn hosts_are_names_and_nothing_else() {
        for bad in ["http://a.example", "1.2.3.4", "a b c", "a.example/path", "*", "com"] {
            assert!(parse_hosts(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_hosts("A.example a.example").unwrap(), ["a.example"]);
    }

    #[test]
    fn redirects_are_shown_by_host() {
        let uris = ["https://a.example/1", "https://a.example/2", "http://127.0.0.1:1/", "cursor://x/cb"];
        let uris: Vec<String> = uris.iter().map(|uri| (*uri).to_owned()).collect();
        let hosts = redirect_hosts(&uris);
        assert_eq!(hosts[..2], ["a.example".to_owned(), "this computer".to_owned()]);
        assert!(hosts[2].starts_with("cursor:"));
    }
}
