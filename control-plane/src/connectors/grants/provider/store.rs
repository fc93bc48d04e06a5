//! Rows of found authorization servers, and of this deployment as their client.

use time::OffsetDateTime;
use toolmesh_proto::ids::InstallationId;

use super::discovery::Discovered;
use super::registration::ClientAuth;
use crate::credentials::envelope::Sealed;
use crate::db::TenantTx;
use crate::error::Result;

#[derive(sqlx::FromRow)]
struct ProviderRow {
    resource: String,
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    registration_endpoint: String,
    revocation_endpoint: String,
    auth_methods: String,
    scopes: String,
    takes_document: bool,
    names_itself: bool,
}

/// What was found for an installation.
pub(super) async fn get(tx: &mut TenantTx, id: InstallationId) -> Result<Option<Discovered>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT resource, issuer, authorization_endpoint, token_endpoint, registration_endpoint, revocation_endpoint,
                 auth_methods, scopes, takes_document, names_itself
               FROM upstream_providers WHERE tenant_id = $1 AND installation_id = $2";
    let query = sqlx::query_as(sql).bind(tenant).bind(id.uuid());
    let row: Option<ProviderRow> = query.fetch_optional(tx.conn()).await?;
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    Ok(row.map(|row| Discovered {
        auth_methods: list(&row.auth_methods),
        scopes: list(&row.scopes),
        resource: row.resource,
        issuer: row.issuer,
        authorization_endpoint: row.authorization_endpoint,
        token_endpoint: row.token_endpoint,
        registration_endpoint: row.registration_endpoint,
        revocation_endpoint: row.revocation_endpoint,
        takes_document: row.takes_document,
        names_itself: row.names_itself,
    }))
}

/// Forgets what was found for an installation.
pub(super) async fn forget(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM upstream_providers WHERE tenant_id = $1 AND installation_id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// Keeps what was found, in place of what was known.
pub(super) async fn put(tx: &mut TenantTx, id: InstallationId, found: &Discovered) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO upstream_providers
           (tenant_id, installation_id, resource, issuer, authorization_endpoint, token_endpoint, registration_endpoint,
            revocation_endpoint, auth_methods, scopes, takes_document, names_itself)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (tenant_id, installation_id) DO UPDATE
         SET resource = excluded.resource, issuer = excluded.issuer,
             authorization_endpoint = excluded.authorization_endpoint, token_endpoint = excluded.token_endpoint,
             registration_endpoint = excluded.registration_endpoint, revocation_endpoint = excluded.revocation_endpoint,
             auth_methods = excluded.auth_methods, scopes = excluded.scopes,
             takes_document = excluded.takes_document, names_itself = excluded.names_itself, found_at = now()",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(&found.resource)
    .bind(&found.issuer)
    .bind(&found.authorization_endpoint)
    .bind(&found.token_endpoint)
    .bind(&found.registration_endpoint)
    .bind(&found.revocation_endpoint)
    .bind(found.auth_methods.join(" "))
    .bind(found.scopes.join(" "))
    .bind(found.takes_document)
    .bind(found.names_itself)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// This deployment as a client, as it is kept.
#[derive(Clone, sqlx::FromRow)]
pub(super) struct ClientRow {
    pub source: String,
    pub client_id: String,
    pub nonce: Option<Vec<u8>>,
    pub secret: Option<Vec<u8>>,
    pub auth_method: String,
    pub expires_at: Option<OffsetDateTime>,
}

impl ClientRow {
    pub fn sealed(&self) -> Option<Sealed> {
        let (nonce, ciphertext) = self.nonce.clone().zip(self.secret.clone())?;
        Some(Sealed { nonce, ciphertext })
    }

    pub fn is_entered(&self) -> bool {
        self.source == "entered"
    }

    pub fn method(&self) -> ClientAuth {
        ClientAuth::parse(&self.auth_method).unwrap_or(ClientAuth::None)
    }
}

pub(super) async fn client(tx: &mut TenantTx, issuer: &str) -> Result<Option<ClientRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT source, client_id, nonce, secret, auth_method, expires_at FROM upstream_clients
               WHERE tenant_id = $1 AND issuer = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(issuer).fetch_optional(tx.conn()).await?)
}

pub(super) async fn put_client(tx: &mut TenantTx, issuer: &str, client: &ClientRow) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO upstream_clients
           (tenant_id, issuer, source, client_id, nonce, secret, auth_method, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant_id, issuer) DO UPDATE
         SET source = excluded.source, client_id = excluded.client_id, nonce = excluded.nonce,
             secret = excluded.secret, auth_method = excluded.auth_method, expires_at = excluded.expires_at,
             made_at = now()",
    )
    .bind(tenant)
    .bind(issuer)
    .bind(&client.source)
    .bind(&client.client_id)
    .bind(&client.nonce)
    .bind(&client.secret)
    .bind(&client.auth_method)
    .bind(client.expires_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets a client that registered itself and is not taken any more; the next connection registers another.
pub(super) async fn forget_registered(tx: &mut TenantTx, issuer: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM upstream_clients WHERE tenant_id = $1 AND issuer = $2 AND source = 'registered'";
    sqlx::query(sql).bind(tenant).bind(issuer).execute(tx.conn()).await?;
    Ok(())
}
