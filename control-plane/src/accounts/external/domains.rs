//! Domains of companies: said to be theirs, proven by a record in DNS or by an operator, and then the way from an address to
//! the company's provider. A proven domain has one owner.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use secrecy::ExposeSecret as _;
use time::OffsetDateTime;
use toolmesh_proto::ids::TenantId;

use super::{External, store};
use crate::accounts::members::{Membership, Permission};
use crate::credentials::token::Token;
use crate::db::TenantTx;
use crate::error::{Error, OnConstraint as _, Result};

/// Domains of one workspace.
const MAX_DOMAINS: usize = 50;

/// Longest wait for an answer about a domain.
const WITHIN: Duration = Duration::from_secs(8);

/// The name of the record, below the domain.
pub const RECORD: &str = "_toolmesh";

/// Where anybody can have an address: such a domain is nobody's company.
const FREE_MAIL: &[&str] = &[
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "outlook.de",
    "outlook.fr",
    "hotmail.com",
    "hotmail.co.uk",
    "hotmail.de",
    "hotmail.fr",
    "live.com",
    "live.co.uk",
    "msn.com",
    "yahoo.com",
    "yahoo.co.uk",
    "yahoo.co.jp",
    "yahoo.de",
    "yahoo.fr",
    "yahoo.es",
    "yahoo.it",
    "ymail.com",
    "rocketmail.com",
    "aol.com",
    "icloud.com",
    "me.com",
    "mac.com",
    "privaterelay.appleid.com",
    "proton.me",
    "protonmail.com",
    "pm.me",
    "tutanota.com",
    "tutamail.com",
    "tuta.io",
    "gmx.com",
    "gmx.net",
    "gmx.de",
    "gmx.at",
    "gmx.ch",
    "web.de",
    "freenet.de",
    "t-online.de",
    "mail.com",
    "email.com",
    "zoho.com",
    "zohomail.com",
    "fastmail.com",
    "fastmail.fm",
    "hey.com",
    "mail.ru",
    "bk.ru",
    "inbox.ru",
    "list.ru",
    "yandex.com",
    "yandex.ru",
    "ya.ru",
    "rambler.ru",
    "qq.com",
    "163.com",
    "126.com",
    "sina.com",
    "foxmail.com",
    "aliyun.com",
    "naver.com",
    "hanmail.net",
    "daum.net",
    "rediffmail.com",
    "orange.fr",
    "wanadoo.fr",
    "free.fr",
    "laposte.net",
    "sfr.fr",
    "libero.it",
    "virgilio.it",
    "tiscali.it",
    "seznam.cz",
    "wp.pl",
    "onet.pl",
    "o2.pl",
    "interia.pl",
    "abv.bg",
    "ukr.net",
    "uol.com.br",
    "bol.com.br",
    "terra.com.br",
    "btinternet.com",
    "sky.com",
    "comcast.net",
    "verizon.net",
    "att.net",
    "sbcglobal.net",
    "cox.net",
    "charter.net",
    "bellsouth.net",
    "shaw.ca",
    "rogers.com",
    "bigpond.com",
    "optusnet.com.au",
    "xtra.co.nz",
    "bluewin.ch",
    "users.noreply.github.com",
];

/// A domain as the settings show it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Domain {
    pub domain: String,
    pub challenge: String,
    pub added_at: OffsetDateTime,
    pub verified_at: Option<OffsetDateTime>,
    /// `dns` or `operator`.
    pub verified_by: Option<String>,
}

impl Domain {
    /// The record's name.
    #[must_use]
    pub fn record_name(&self) -> String {
        format!("{RECORD}.{}", self.domain)
    }

    /// The record's value.
    #[must_use]
    pub fn record_value(&self) -> String {
        format!("toolmesh-verification={}", self.challenge)
    }
}

/// Reads a domain as somebody typed it: lower case, in its ASCII form, with a dot, nobody's free mail.
///
/// # Errors
/// On the field `domain`.
pub fn parse(text: &str) -> Result<String> {
    let wrong =
        || Error::field("domain", "Enter the part of your addresses after the @, such as example.com.");
    let text = text.trim().trim_start_matches('@').trim_end_matches('.');
    let url::Host::Domain(domain) = url::Host::parse(text).map_err(|_| wrong())? else { return Err(wrong()) };
    let labels = domain.split('.').collect::<Vec<_>>();
    let plain = |label: &&str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if domain.len() > 253 || labels.len() < 2 || !labels.iter().all(plain) {
        return Err(wrong());
    }
    if FREE_MAIL.contains(&domain.as_str()) {
        let message = format!(
            "{domain} is open to everybody, so it cannot be one company's. Enter your company's own."
        );
        return Err(Error::field("domain", message));
    }
    Ok(domain)
}

/// Whether a workspace has proven the domain of an address.
///
/// # Errors
/// When the database fails.
pub async fn speaks_for(tx: &mut TenantTx, email: &str) -> Result<bool> {
    store::owns_domain(tx, of(email)).await
}

/// The domains that a workspace has proven.
///
/// # Errors
/// When the database fails.
pub async fn proven(tx: &mut TenantTx) -> Result<Vec<String>> {
    let listed = store::domains(tx).await?;
    Ok(listed.into_iter().filter(|of| of.verified_at.is_some()).map(|of| of.domain).collect())
}

/// The domain of an address.
pub(super) fn of(email: &str) -> &str {
    email.rsplit_once('@').map_or("", |(_, domain)| domain)
}

impl External {
    /// Says that a domain is the workspace's, to be proven next.
    ///
    /// # Errors
    /// On the field `domain`; `Forbidden` without the right to.
    pub async fn add_domain(&self, by: &Membership, text: &str) -> Result<()> {
        by.require(Permission::Settings)?;
        let domain = parse(text)?;
        let challenge = Token::new("")?;
        let mut tx = self.db.tenant(by.tenant).await?;
        store::lock_sign_in(&mut tx).await?;
        if store::domains(&mut tx).await?.len() >= MAX_DOMAINS {
            return Err(Error::field("domain", "There are 50 domains, which is the most. Remove one first."));
        }
        store::insert_domain(&mut tx, &domain, challenge.secret.expose_secret())
            .await
            .on_constraint("sign_in_domains_pkey", || {
                Error::field("domain", "This domain is in the list already.")
            })?;
        Ok(tx.commit().await?)
    }

    /// Takes a domain out. Who has an address in it no longer comes through the provider.
    ///
    /// # Errors
    /// `Refused` for the last proven one while the provider is enforced, and for what is not there.
    pub async fn remove_domain(&self, by: &Membership, domain: &str) -> Result<()> {
        by.require(Permission::Settings)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        store::lock_sign_in(&mut tx).await?;
        let enforced = store::provider(&mut tx).await?.is_some_and(|provider| provider.enforced_at.is_some());
        let others = store::domains(&mut tx).await?;
        let others = others.iter().filter(|of| of.verified_at.is_some() && of.domain != domain).count();
        if enforced && others == 0 {
            let message = "Members must log in through your provider, and this is the last proven domain. Stop requiring it first.";
            return Err(Error::Refused(message.to_owned()));
        }
        if !store::delete_domain(&mut tx, domain).await? {
            return Err(not_listed());
        }
        Ok(tx.commit().await?)
    }

    /// Looks for the record in DNS.
    ///
    /// # Errors
    /// `Refused` with what was found instead, and for a domain that is not in the list.
    pub async fn check_domain(&self, by: &Membership, domain: &str) -> Result<()> {
        by.require(Permission::Settings)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let listed = store::domains(&mut tx).await?;
        drop(tx);
        let listed = listed.into_iter().find(|of| of.domain == domain).ok_or_else(not_listed)?;
        // One look-up at a time for each domain and minute is plenty for a person, and bounds what a script can cause.
        if self.starts.check_key(&format!("dns|{}", by.tenant)).is_err() {
            return Err(Error::TooMany(10));
        }
        let found = self.records(&listed.record_name()).await?;
        let wanted = listed.record_value();
        if !found.iter().any(|value| value.trim() == wanted) {
            let what = match found.len() {
                0 => format!("There is no TXT record at {} yet.", listed.record_name()),
                _ => format!("The TXT record at {} has another value.", listed.record_name()),
            };
            return Err(Error::Refused(format!(
                "{what} New records can take some minutes to be seen. Try again then."
            )));
        }
        self.take_domain(by.tenant, domain, "dns").await
    }

    /// Proves a domain on an operator's word; adds it where it is not in the list.
    ///
    /// # Errors
    /// On the field `domain`; `Refused` where another workspace has it.
    pub async fn vouch_for_domain(&self, tenant: TenantId, text: &str) -> Result<String> {
        let domain = parse(text)?;
        let challenge = Token::new("")?;
        let mut tx = self.db.tenant(tenant).await?;
        store::lock_sign_in(&mut tx).await?;
        if !store::domains(&mut tx).await?.iter().any(|of| of.domain == domain) {
            store::insert_domain(&mut tx, &domain, challenge.secret.expose_secret()).await?;
        }
        tx.commit().await?;
        self.take_domain(tenant, &domain, "operator").await?;
        Ok(domain)
    }

    async fn take_domain(&self, tenant: TenantId, domain: &str, how: &str) -> Result<()> {
        let mut tx = self.db.tenant(tenant).await?;
        if !store::own_domain(&mut tx, domain).await? {
            return Err(Error::Refused(format!(
                "{domain} was proven by another workspace. Remove it there first, or ask who runs this ToolMesh."
            )));
        }
        store::mark_domain_verified(&mut tx, domain, how).await?;
        Ok(tx.commit().await?)
    }

    /// The same as [`speaks_for`], for who has no transaction at hand.
    pub(super) async fn speaks_for(&self, tenant: TenantId, email: &str) -> Result<bool> {
        let mut tx = self.db.tenant(tenant).await?;
        speaks_for(&mut tx, email).await
    }

    /// The texts of a name's TXT records; none where there is no such name.
    async fn records(&self, name: &str) -> Result<Vec<String>> {
        let resolver = resolver(self.dns_server)?;
        // The dot at the end: nothing is appended to the name.
        let answer = tokio::time::timeout(WITHIN, resolver.txt_lookup(format!("{name}."))).await;
        let unanswered =
            || Error::Refused("DNS does not answer at the moment. Try again in a minute.".to_owned());
        let lookup = match answer.map_err(|_| unanswered())? {
            Ok(lookup) => lookup,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(_) => return Err(unanswered()),
        };
        let text = |data: &RData| match data {
            RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()),
            _ => None,
        };
        Ok(lookup.answers().iter().take(100).filter_map(|record| text(&record.data)).collect())
    }
}

fn not_listed() -> Error {
    Error::Refused("This domain is not in the list any more.".to_owned())
}

/// Asks the system's resolver or the configured one, and keeps no answers: somebody who just made the record tries again.
fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver> {
    let mut builder = match server {
        None => TokioResolver::builder_tokio().map_err(Error::internal)?,
        Some(address) => {
            let at = |mut connection: ConnectionConfig| {
                connection.port = address.port();
                connection
            };
            let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
            let server = NameServerConfig::new(address.ip(), true, connections);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.cache_size = 0;
    options.timeout = Duration::from_secs(3);
    builder.build().map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_read_as_people_write_it() {
        for text in ["Example.com", " @example.com ", "example.com."] {
            assert_eq!(parse(text).unwrap(), "example.com", "{text}");
        }
        assert_eq!(parse("bücher.example").unwrap(), "xn--bcher-kva.example");
    }

    #[test]
    fn what_is_no_companys_domain_is_refused() {
        for text in [
            "",
            "com",
            "10.0.0.1",
            "[::1]",
            "a b.com",
            "gmail.com",
            "GMail.com",
            "a..b",
            "http://example.com",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
