//! Clients: what each of them is, by which way it is known, and how it proves who it is.
//!
//! A client is known by a document on the web ([`documents`]), by registering itself ([`registered`]) or by an admin's hand
//! ([`manual`]); [`authentication`] is how it proves to be itself. The workspace's rules on which may be used stand in
//! [`policy`].

pub mod admin;
pub mod assertion;
pub mod authentication;
pub mod documents;
pub mod machines;
pub mod manual;
pub mod policy;
pub mod registered;
pub mod store;

use serde_json::Value;
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::{TenantId, UserId};
use url::Url;

use super::{Oauth, redirect};
use crate::accounts::is_invisible;
use crate::db::TenantTx;
use crate::error::{Error, Result};

/// Longest client id that is looked at.
pub(super) const MAX_CLIENT_ID: usize = 2000;

/// Most redirect URIs of a client, and the most keys in its set.
pub(super) const MAX_REDIRECTS: usize = 20;

/// Noting that a client was seen more often than this would cost more than it tells.
pub(super) const SEEN_EVERY: Duration = Duration::minutes(10);

/// A client, as far as a tenant knows it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Client {
    pub client_id: String,
    pub name: String,
    pub redirect_uris: Vec<String>,
    #[sqlx(try_from = "String")]
    pub kind: Kind,
    #[sqlx(try_from = "String")]
    pub auth_method: AuthMethod,
    /// Public keys of a client that signs.
    pub jwks: Option<Value>,
    /// Where they are fetched instead.
    pub jwks_uri: Option<String>,
    pub grant_types: Vec<String>,
    #[sqlx(try_from = "String")]
    pub standing: Standing,
    /// Whether the tenant has a row of it: somebody allowed it, asked for it, or made it.
    pub stored: bool,
}

/// How a client is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By a document at the URL that is its id; the host vouches for it.
    MetadataDocument,
    /// It registered itself; nobody vouches for it.
    Registered,
    /// An admin registered it.
    Manual,
}

/// How a client proves who it is (RFC 7591, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// It cannot keep a secret, and proves nothing.
    None,
    SecretBasic,
    SecretPost,
    PrivateKeyJwt,
}

/// Whether a client may be used in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Allowed,
    Blocked,
    /// Somebody asked for it, and an admin has not decided yet.
    Pending,
}

/// The words of an enum in the database and on the wire.
macro_rules! words {
    ($kind:ident, $what:literal, $($variant:ident = $word:literal),+) => {
        impl $kind {
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::str::FromStr for $kind {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Error::Internal(format!("no {} is called {text:?}", $what))),
                }
            }
        }

        impl TryFrom<String> for $kind {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }
    };
}

words!(
    Kind,
    "kind of client",
    MetadataDocument = "metadata_document",
    Registered = "registered",
    Manual = "manual"
);
words!(
    AuthMethod,
    "way to authenticate a client",
    None = "none",
    SecretBasic = "client_secret_basic",
    SecretPost = "client_secret_post",
    PrivateKeyJwt = "private_key_jwt"
);
words!(Standing, "standing of a client", Allowed = "allowed", Blocked = "blocked", Pending = "pending");

impl AuthMethod {
    #[must_use]
    pub const fn uses_secret(self) -> bool {
        matches!(self, Self::SecretBasic | Self::SecretPost)
    }
}

impl Client {
    /// Whether it may use a grant type.
    #[must_use]
    pub fn may(&self, grant_type: &str) -> bool {
        self.grant_types.iter().any(|known| known == grant_type)
    }

    /// The host that vouches for it.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        match self.kind {
            Kind::MetadataDocument => host_of(&self.client_id),
            Kind::Registered | Kind::Manual => None,
        }
    }
}

/// The host of an URL, with its port where it is not the usual one.
#[must_use]
pub fn host_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

impl Oauth {
    /// A client by its id, for a member who is to decide about it: where its id names a document, that is fetched. No
    /// connection to the database is held meanwhile.
    ///
    /// # Errors
    /// Why there is no such client, in a sentence for the member; or when the database fails.
    pub(super) async fn identify(
        &self,
        tenant: TenantId,
        client_id: &str,
    ) -> Result<std::result::Result<Client, String>> {
        let mut tx = self.db.tenant(tenant).await?;
        let known = self.client(&mut tx, client_id).await?;
        drop(tx);
        if !documents::is_document(client_id) {
            let unknown = "This workspace does not know the application, or its registration has expired. Remove the \
                           connection in the application and add it again.";
            return Ok(known.ok_or_else(|| unknown.to_owned()));
        }
        let found = self.documents.client(client_id, known.as_ref()).await;
        Ok(found.map_err(|error| format!("The application could not be identified: {error}.")))
    }

    /// A client by its id, as far as it is known here: one that was used before, or a fresh registration of this tenant.
    pub(super) async fn client(&self, tx: &mut TenantTx, client_id: &str) -> Result<Option<Client>> {
        if client_id.len() > MAX_CLIENT_ID || !client_id.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(None);
        }
        match store::client(tx, client_id).await? {
            Some(known) => Ok(Some(known)),
            None => Ok(self.fresh_registration(tx.tenant(), client_id)),
        }
    }
}

/// Notes that a client is used for somebody, who may be the first. What an admin made is there or is not: using it does not make
/// it again. False where it is not.
pub(super) async fn note_use(tx: &mut TenantTx, client: &Client, by: UserId) -> Result<bool> {
    match client.kind {
        Kind::Manual => {
            let there = store::client(tx, &client.client_id).await?.is_some();
            store::seen(tx, &client.client_id, OffsetDateTime::now_utc()).await?;
            Ok(there)
        }
        Kind::MetadataDocument | Kind::Registered => {
            store::upsert(tx, client, &policy::fingerprint(client), Some(by)).await?;
            Ok(true)
        }
    }
}

/// The name that a person is shown: the client's own without characters that could mislead, else its host.
pub(super) fn display_name(name: Option<&str>, uri: Option<&str>, redirects: &[String]) -> String {
    let clean: String = name.unwrap_or_default().chars().filter(|c| !is_invisible(*c)).take(80).collect();
    let clean = clean.trim();
    if !clean.is_empty() {
        return clean.to_owned();
    }
    let host = uri.and_then(|u| Url::parse(u).ok()).and_then(|u| u.host_str().map(str::to_owned));
    host.or_else(|| redirects.first().map(|r| redirect::display_host(r)))
        .unwrap_or_else(|| "Unnamed client".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_name_cannot_hide_or_turn_characters() {
        let uris = vec!["https://a.example/cb".to_owned()];
        assert_eq!(display_name(Some("Chat\u{202e}GPT\n"), None, &uris), "ChatGPT");
        assert_eq!(display_name(Some("\u{200b}"), None, &uris), "a.example");
        assert_eq!(display_name(None, Some("https://client.example/"), &uris), "client.example");
        assert_eq!(display_name(Some(&"x".repeat(200)), None, &uris).len(), 80);
    }

    #[test]
    fn words_of_the_database_are_read_as_they_were_written() {
        for method in
            [AuthMethod::None, AuthMethod::SecretBasic, AuthMethod::SecretPost, AuthMethod::PrivateKeyJwt]
        {
            assert_eq!(method.as_str().parse::<AuthMethod>().unwrap(), method);
        }
        assert!("client_secret_jwt".parse::<AuthMethod>().is_err());
    }
}
