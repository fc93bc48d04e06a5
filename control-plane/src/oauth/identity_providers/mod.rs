//! Identity providers that a workspace trusts to vouch for its members (enterprise-managed authorization): clients bring an
//! assertion of theirs instead of a person's consent. What an assertion must hold, `id_jag` says.

pub mod store;

use std::time::Duration;

use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::ids::IdentityProviderId;
use url::Url;

use super::Oauth;
use super::key_sets::{self, ALGORITHMS};
use crate::accounts::external::domains;
use crate::accounts::members::{self, Membership, Permission};
use crate::db::Db;
use crate::error::{Error, OnConstraint as _, Result};
use crate::outbound::Outgoing;
use crate::revocations::{self, Reach, What};

/// Providers of one workspace, and clients that one of them may be limited to.
const MAX_PROVIDERS: i64 = 10;
const MAX_CLIENTS: usize = 50;

/// Largest discovery document, and the longest wait for one.
const MAX_BYTES: usize = 64 << 10;
const WITHIN: Duration = Duration::from_secs(3);

/// A provider, as admins see it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct IdentityProvider {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: IdentityProviderId,
    pub issuer: String,
    pub jwks_uri: String,
    /// Clients that it may vouch for; none for all.
    pub client_ids: Vec<String>,
    pub created_at: OffsetDateTime,
    pub created_by: String,
    pub last_used_at: Option<OffsetDateTime>,
    /// Members it has vouched for.
    pub people: i64,
}

/// What an admin says of a provider.
#[derive(Clone, Copy, Debug)]
pub struct NewProvider<'a> {
    pub issuer: &'a str,
    /// Empty where its discovery document says it.
    pub jwks_uri: &'a str,
    /// One client id to a line.
    pub client_ids: &'a str,
}

/// Everything the settings page shows.
pub struct Overview {
    /// By issuer.
    pub providers: Vec<IdentityProvider>,
    /// The domains whose addresses they speak for.
    pub domains: Vec<String>,
}

/// # Errors
/// `Forbidden` for who may not see settings.
pub async fn overview(db: &Db, by: &Membership) -> Result<Overview> {
    by.require(Permission::Settings)?;
    let mut tx = db.tenant(by.tenant).await?;
    Ok(Overview { providers: store::list(&mut tx).await?, domains: domains::proven(&mut tx).await? })
}

/// Ends the trust in a provider, and what clients got through it.
///
/// # Errors
/// `NotFound` for one that is not there.
pub async fn remove(db: &Db, by: &Membership, id: IdentityProviderId) -> Result<()> {
    let mut tx = db.tenant(by.tenant).await?;
    members::still(&mut tx, by).await?.require(Permission::Settings)?;
    let grants = store::grants(&mut tx, id).await?;
    if !store::delete(&mut tx, id).await? {
        return Err(Error::NotFound);
    }
    for grant in &grants {
        let reason = "the identity provider is no longer trusted";
        let recorded = revocations::revoke(&mut tx, &What::Grant(*grant), Reach::Tokens, reason).await?;
        tracing::debug!(%grant, sequences = ?recorded.sequences, "grant ended with its identity provider");
    }
    tx.commit_change().await?;
    tracing::info!(tenant = %by.tenant, grants = grants.len(), "identity provider no longer trusted");
    Ok(())
}

impl Oauth {
    /// Trusts a provider from now on, if its keys can be had.
    ///
    /// # Errors
    /// Names the field that has to be mended.
    pub async fn trust_provider(&self, by: &Membership, new: NewProvider<'_>) -> Result<()> {
        by.require(Permission::Settings)?;
        let issuer = issuer(new.issuer)?;
        let client_ids = client_ids(new.client_ids)?;
        let jwks_uri = match new.jwks_uri.trim() {
            "" => self.discover(&issuer).await?,
            given => given.to_owned(),
        };
        let unusable =
            |error: key_sets::KeySetError| Error::field("jwks_uri", format!("{}.", capital(&error)));
        self.key_sets.at(&jwks_uri, None, ALGORITHMS[0]).await.map_err(unusable)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let by = members::still(&mut tx, by).await?;
        by.require(Permission::Settings)?;
        store::lock_all(&mut tx).await?;
        if store::count(&mut tx).await? >= MAX_PROVIDERS {
            return Err(Error::field("issuer", "There are 10 identity providers already. Remove one first."));
        }
        let id = IdentityProviderId::new();
        let added = store::insert(&mut tx, id, &issuer, &jwks_uri, &client_ids, by.user).await;
        added.on_constraint("identity_providers_issuer_key", || {
            Error::field("issuer", "This identity provider is trusted already. Remove it first to change it.")
        })?;
        tx.commit_change().await?;
        Ok(())
    }

    /// Where a provider's keys are, from its own document (RFC 8414, section 3; OpenID Connect Discovery, section 4).
    async fn discover(&self, issuer: &str) -> Result<String> {
        let mut why = String::new();
        for address in discovery_addresses(issuer)? {
            let host = address.host_str().unwrap_or_default().to_owned();
            match self.key_sets.outbound().send(Outgoing::get(address, MAX_BYTES, WITHIN)).await {
                Ok(answer) if answer.status == http::StatusCode::OK => return read(&answer.body, issuer),
                Ok(answer) => why = format!("{host} answered {}", answer.status),
                Err(error) => why = format!("{host}: {error}"),
            }
        }
        Err(Error::field(
            "issuer",
            format!(
                "No discovery document was found ({why}). Check the issuer, or enter where the keys are."
            ),
        ))
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

fn read(body: &[u8], issuer: &str) -> Result<String> {
    let document: Discovery = serde_json::from_slice(body).map_err(|_| {
        Error::field("issuer", "Its discovery document names no issuer or no keys. Enter where the keys are.")
    })?;
    if document.issuer != issuer {
        let named: String = document.issuer.chars().take(200).collect();
        return Err(Error::field(
            "issuer",
            format!("The document found there is of {named}. Enter the issuer exactly as it calls itself."),
        ));
    }
    Ok(document.jwks_uri)
}

/// The three places where a document may stand.
fn discovery_addresses(issuer: &str) -> Result<Vec<Url>> {
    let url = Url::parse(issuer).map_err(Error::internal)?;
    let path = url.path().trim_end_matches('/').to_owned();
    let openid = ".well-known/openid-configuration";
    let mut paths =
        vec![format!("{path}/{openid}"), format!("/.well-known/oauth-authorization-server{path}")];
    if !path.is_empty() {
        paths.push(format!("/{openid}{path}"));
    }
    let at = |path: String| {
        let mut url = url.clone();
        url.set_path(&path);
        url
    };
    Ok(paths.into_iter().map(at).collect())
}

/// An issuer as it was typed, since it is compared byte by byte.
fn issuer(text: &str) -> Result<String> {
    let wrong =
        || Error::field("issuer", "Enter an https URL without query, such as https://login.example.com.");
    let text = text.trim();
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let plain = plain && url.password().is_none() && url.has_host() && url.scheme() == "https";
    if plain && text.len() <= 500 && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(wrong())
    }
}

fn client_ids(text: &str) -> Result<Vec<String>> {
    let mut ids: Vec<String> = Vec::new();
    for id in text.split_whitespace() {
        if id.len() > 2000 || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::field("client_ids", "Enter one client id to a line."));
        }
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    if ids.len() > MAX_CLIENTS {
        return Err(Error::field("client_ids", "Enter at most 50 client ids."));
    }
    Ok(ids)
}

fn capital(error: &key_sets::KeySetError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_kept_as_it_was_typed_and_must_be_one() {
        assert_eq!(issuer(" https://idp.example.com/t/1/ ").unwrap(), "https://idp.example.com/t/1/");
        for bad in [
            "",
            "idp.example.com",
            "http://idp.example.com",
            "https://idp.example.com?x=1",
            "https://idp.example.com/#a",
            "https://u:p@idp.example.com",
            "https://idp.example.com/a b",
        ] {
            assert!(issuer(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn documents_are_looked_for_where_the_standards_put_them() {
        let at = |issuer: &str| {
            let found = discovery_addresses(issuer).unwrap();
            found.iter().map(Url::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            at("https://a.example"),
            [
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server"
            ]
        );
        assert_eq!(
            at("https://a.example/t/1"),
            [
                "https://a.example/t/1/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/t/1",
                "https://a.example/.well-known/openid-configuration/t/1"
            ]
        );
    }

    #[test]
    fn a_document_of_another_issuer_is_refused() {
        let document = br#"{"issuer":"https://evil.example","jwks_uri":"https://evil.example/keys"}"#;
        assert!(matches!(read(document, "https://a.example"), Err(Error::Field { field: "issuer", .. })));
        assert!(read(b"{}", "https://a.example").is_err());
        assert_eq!(read(document, "https://evil.example").unwrap(), "https://evil.example/keys");
    }

    #[test]
    fn client_ids_are_read_line_by_line() {
        assert_eq!(client_ids("a\n\n b \na").unwrap(), ["a", "b"]);
        assert!(client_ids("").unwrap().is_empty());
        assert!(client_ids("ü").is_err());
    }
}
