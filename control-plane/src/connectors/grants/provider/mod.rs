//! Authorization servers of MCP servers: found where the server says, kept for each installation, and this deployment as their
//! client.
//!
//! A client is the workspace's at one issuer and is never shown to another. Which one is used: one that an admin entered, else
//! the document that our id names, else one that registered itself. What is done with it is in the rest of `grants`.

pub mod challenge;
pub mod discovery;
pub mod registration;
mod store;

use std::collections::HashMap;

use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::v1;
use toolmesh_proto::v1::OAuth2Auth;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use url::Url;

use super::super::installation::oauth2;
use super::super::store as connectors;
use super::subject::{Found, Subject};
use super::{Grants, sentence};
use crate::accounts::members::{Membership, Permission};
use crate::credentials;
use crate::db::TenantTx;
use crate::error::{Error, Result};
use challenge::Challenge;
use discovery::Discovered;
use registration::{Client, ClientAuth};
use store::ClientRow;

/// Names of the client's parts among the secrets of a subject.
const CLIENT_ID: &str = "client_id";
const CLIENT_SECRET: &str = "client_secret";
/// A token is replaced so many seconds ahead of its end.
const AHEAD: u32 = 60;

/// How an MCP server is authenticated to whose authorization server is found.
#[must_use]
pub fn auth() -> v1::Auth {
    let auth = OAuth2Auth {
        flow: Flow::AuthorizationCode.into(),
        header: "Authorization".to_owned(),
        prefix: "Bearer ".to_owned(),
        ..OAuth2Auth::default()
    };
    v1::Auth { kind: Some(v1::auth::Kind::Oauth2(auth)), optional: false, also: Vec::new() }
}

/// Whether the authorization server of a connector is found rather than named by it.
#[must_use]
pub fn is_found(connector: &v1::Connector) -> bool {
    connector.server.is_some() && oauth2(connector).is_some_and(|auth| auth.token_url.is_empty())
}

/// What the console shows of the authorization server of an installation.
#[derive(Clone, Debug, Default)]
pub struct ProviderFacts {
    pub issuer: String,
    /// How this deployment is known there.
    pub client_id: String,
    /// An admin entered it.
    pub entered: bool,
    /// Nobody but an admin can: the provider registers no clients by itself.
    pub has_to_be_entered: bool,
}

impl Grants {
    /// Finds the authorization server of an installation anew, and makes sure that this deployment is a client of it.
    pub(super) async fn prepare(&self, tenant: TenantId, id: InstallationId, server: &str) -> Result<()> {
        let url = Url::parse(server).map_err(Error::internal)?;
        let told = discovery::challenge(&self.outbound, &url).await;
        let found = discovery::discover(&self.outbound, &url, &told).await;
        let mut tx = self.db.tenant(tenant).await?;
        let known = store::get(&mut tx, id).await?;
        let found = match (found, known) {
            (Ok(mut found), known) => {
                // What was allowed before, and what more a call needed, is asked for again.
                let before = known.filter(|known| known.issuer == found.issuer).map(|known| known.scopes);
                found.scopes = union(found.scopes, before.unwrap_or_default());
                store::put(&mut tx, id, &found).await?;
                found
            }
            // Its documents may be away while its endpoints are not.
            (Err(discovery::Trouble::NoDocument(_)), Some(known)) => known,
            (Err(trouble), _) => return Err(Error::Refused(sentence(&trouble.to_string()))),
        };
        let client = self.client(&mut tx, &found).await?;
        tx.commit().await?;
        if client.is_some() {
            return Ok(());
        }
        if found.registration_endpoint.is_empty() {
            return Err(Error::Refused(format!(
                "{} registers no clients by itself. Register ToolMesh there with the redirect URI {}, and enter the client id \
                 on the connector's page.",
                found.issuer,
                self.redirect_uri()
            )));
        }
        let made = registration::register(&self.outbound, &found, &self.console_origin).await;
        let made = made.map_err(|why| Error::Refused(format!("{why}.")))?;
        let mut tx = self.db.tenant(tenant).await?;
        // Of two at once the first counts, since the other may be on its way there already.
        if self.client(&mut tx, &found).await?.is_none() {
            self.keep_client(&mut tx, &found.issuer, "registered", &made).await?;
        }
        tx.commit().await?;
        tracing::info!(%tenant, installation = %id, issuer = found.issuer, "registered as a client");
        Ok(())
    }

    /// The client that is used with a provider; `None` where it has to register first.
    async fn client(&self, tx: &mut TenantTx, found: &Discovered) -> Result<Option<Client>> {
        let row = store::client(tx, &found.issuer).await?;
        let (entered, registered) = match row {
            Some(row) if row.is_entered() => (Some(row), None),
            other => (None, other),
        };
        if let Some(row) = entered {
            return self.open_client(tx, &found.issuer, &row).await.map(Some);
        }
        if let Some(client) = registration::by_document(found, &self.console_origin) {
            return Ok(Some(client));
        }
        let now = OffsetDateTime::now_utc();
        match registered.filter(|row| row.expires_at.is_none_or(|ends| ends > now)) {
            Some(row) => self.open_client(tx, &found.issuer, &row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn open_client(&self, tx: &mut TenantTx, issuer: &str, row: &ClientRow) -> Result<Client> {
        let secret = match row.sealed() {
            None => None,
            Some(sealed) => {
                let place = client_place(issuer, &row.client_id);
                Some(credentials::open_secret(tx, &self.vault, &place, &sealed).await?)
            }
        };
        Ok(Client { id: row.client_id.clone(), secret, method: row.method(), expires_at: row.expires_at })
    }

    async fn keep_client(
        &self,
        tx: &mut TenantTx,
        issuer: &str,
        source: &str,
        client: &Client,
    ) -> Result<()> {
        let sealed = match &client.secret {
            None => None,
            Some(secret) => {
                let place = client_place(issuer, &client.id);
                Some(credentials::seal_secret(tx, &self.vault, &place, secret.expose_secret()).await?)
            }
        };
        let (nonce, secret) = sealed.map(|sealed| (sealed.nonce, sealed.ciphertext)).unzip();
        let row = ClientRow {
            source: source.to_owned(),
            client_id: client.id.clone(),
            nonce,
            secret,
            auth_method: client.method.as_str().to_owned(),
            expires_at: client.expires_at,
        };
        store::put_client(tx, issuer, &row).await
    }

    /// An installation whose authorization server was found, as it is when a token is asked for.
    ///
    /// # Errors
    /// `Refused` before it was found, or while there is no client of it.
    pub(super) async fn found_subject(
        &self,
        tx: &mut TenantTx,
        id: InstallationId,
        like: &OAuth2Auth,
    ) -> Result<Subject> {
        let missing = || Error::Refused("It has not been connected to its server yet.".to_owned());
        let found = store::get(tx, id).await?.ok_or_else(missing)?;
        let client = self.client(tx, &found).await?.ok_or_else(missing)?;
        let mut secrets = HashMap::from([(CLIENT_ID.to_owned(), (0, SecretString::from(client.id.clone())))]);
        let has_secret = client.secret.is_some();
        if let Some(secret) = client.secret {
            secrets.insert(CLIENT_SECRET.to_owned(), (0, secret));
        }
        let auth = OAuth2Auth {
            token_url: found.token_endpoint,
            authorize_url: found.authorization_endpoint,
            client_id_credential: CLIENT_ID.to_owned(),
            client_secret_credential: if has_secret { CLIENT_SECRET.to_owned() } else { String::new() },
            basic_client_auth: client.method == ClientAuth::Basic,
            rotates_refresh_token: true,
            refresh_before_seconds: AHEAD,
            scopes: found.scopes,
            ..like.clone()
        };
        let named = Found {
            issuer: found.issuer,
            resource: found.resource,
            revocation_url: found.revocation_endpoint,
            names_itself: found.names_itself,
            client_id: client.id,
        };
        Subject::found(auth, secrets, named)
    }

    /// Forgets a client that its provider does not take any more, if it registered itself.
    pub(super) async fn forget_client(&self, tenant: TenantId, issuer: &str) -> Result<()> {
        let mut tx = self.db.tenant(tenant).await?;
        store::forget_registered(&mut tx, issuer).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that a call needs more than what was allowed: the next connection asks for that too.
    pub(super) async fn note_scope(
        &self,
        tx: &mut TenantTx,
        id: InstallationId,
        told: &Challenge,
    ) -> Result<()> {
        let Some(mut found) = store::get(tx, id).await? else { return Ok(()) };
        let more = discovery::words(told.scope.as_deref().unwrap_or_default());
        let before = found.scopes.len();
        found.scopes = union(found.scopes, more);
        if found.scopes.len() > before {
            store::put(tx, id, &found).await?;
        }
        Ok(())
    }

    /// What the console shows of the authorization server of an installation; nothing before it was found.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn provider(&self, by: &Membership, id: InstallationId) -> Result<Option<ProviderFacts>> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let Some(found) = store::get(&mut tx, id).await? else { return Ok(None) };
        let entered = store::client(&mut tx, &found.issuer).await?.is_some_and(|row| row.is_entered());
        let client = self.client(&mut tx, &found).await?;
        Ok(Some(ProviderFacts {
            has_to_be_entered: client.is_none() && found.registration_endpoint.is_empty(),
            client_id: client.map(|client| client.id).unwrap_or_default(),
            issuer: found.issuer,
            entered,
        }))
    }

    /// Keeps a client that an admin registered at the authorization server of an installation.
    ///
    /// # Errors
    /// A field error for what can be no client id or secret; `Refused` before the server was found.
    pub async fn enter_client(
        &self,
        by: &Membership,
        id: InstallationId,
        client_id: &str,
        secret: SecretString,
    ) -> Result<()> {
        by.require(Permission::Connectors)?;
        let client_id = client_id.trim();
        let printable =
            |text: &str| text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if client_id.is_empty() || !printable(client_id) {
            return Err(Error::field("client_id", "Enter the client id as the provider shows it."));
        }
        if !printable(secret.expose_secret().trim()) {
            return Err(Error::field("client_secret", "A client secret is one line. Copy it again."));
        }
        let mut tx = self.db.tenant(by.tenant).await?;
        connectors::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let missing =
            || Error::Refused("Press Connect first, so that its authorization server is found.".to_owned());
        let found = store::get(&mut tx, id).await?.ok_or_else(missing)?;
        let secret = Some(secret.expose_secret().trim().to_owned()).filter(|secret| !secret.is_empty());
        let client = Client {
            id: client_id.to_owned(),
            method: ClientAuth::choose(&found.auth_methods, secret.is_some()),
            secret: secret.map(SecretString::from),
            expires_at: None,
        };
        self.keep_client(&mut tx, &found.issuer, "entered", &client).await?;
        tx.commit_change().await?;
        Ok(())
    }
}

/// Forgets which authorization server was found for an installation: it is another service's from now on.
pub(super) async fn forget(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    store::forget(tx, id).await
}

fn client_place(issuer: &str, client_id: &str) -> String {
    format!("upstream client|{issuer}|{client_id}")
}

fn union(mut scopes: Vec<String>, more: Vec<String>) -> Vec<String> {
    for scope in more {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}
