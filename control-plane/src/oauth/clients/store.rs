//! Rows of clients, their secrets, and the workspace's rules on them.

use time::OffsetDateTime;

use super::Client;
use crate::db::TenantTx;
use crate::error::Result;

pub(in crate::oauth) async fn client(tx: &mut TenantTx, client_id: &str) -> Result<Option<Client>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT client_id, name, redirect_uris, kind, auth_method, jwks, jwks_uri, grant_types, standing,
                 true AS stored
               FROM oauth_clients WHERE tenant_id = $1 AND client_id = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(client_id).fetch_optional(tx.conn()).await?)
}

/// Hashes of the secrets that are good now.
pub(super) async fn secret_hashes(tx: &mut TenantTx, client_id: &str) -> Result<Vec<Vec<u8>>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT hash FROM oauth_client_secrets
               WHERE tenant_id = $1 AND client_id = $2 AND (expires_at IS NULL OR expires_at > now()) LIMIT 10";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(client_id).fetch_all(tx.conn()).await?)
}

pub(super) async fn insert_secret(
    tx: &mut TenantTx,
    client_id: &str,
    hash: &[u8],
    last4: &str,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO oauth_client_secrets (tenant_id, client_id, hash, last4) VALUES ($1, $2, $3, $4)";
    sqlx::query(sql).bind(tenant).bind(client_id).bind(hash).bind(last4).execute(tx.conn()).await?;
    Ok(())
}

/// The client as it is now known; what admins decided about it stays.
pub(in crate::oauth) async fn upsert(
    tx: &mut TenantTx,
    client: &Client,
    fingerprint: &[u8],
    by: Option<toolmesh_proto::ids::UserId>,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO oauth_clients (tenant_id, client_id, name, redirect_uris, kind, auth_method, jwks, jwks_uri,
                 grant_types, standing, fingerprint, created_by, last_seen_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now())
               ON CONFLICT (tenant_id, client_id) DO UPDATE SET
                 name = excluded.name, redirect_uris = excluded.redirect_uris, auth_method = excluded.auth_method,
                 jwks = excluded.jwks, jwks_uri = excluded.jwks_uri, grant_types = excluded.grant_types,
                 fingerprint = excluded.fingerprint, last_seen_at = now()";
    sqlx::query(sql)
        .bind(tenant)
        .bind(&client.client_id)
        .bind(&client.name)
        .bind(&client.redirect_uris)
        .bind(client.kind.as_str())
        .bind(client.auth_method.as_str())
        .bind(&client.jwks)
        .bind(&client.jwks_uri)
        .bind(&client.grant_types)
        .bind(client.standing.as_str())
        .bind(fingerprint)
        .bind(by.map(toolmesh_proto::ids::UserId::uuid))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Notes that a client was seen, where that was not noted since `before`.
pub(in crate::oauth) async fn seen(tx: &mut TenantTx, client_id: &str, before: OffsetDateTime) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE oauth_clients SET last_seen_at = now()
               WHERE tenant_id = $1 AND client_id = $2 AND (last_seen_at IS NULL OR last_seen_at < $3)";
    sqlx::query(sql).bind(tenant).bind(client_id).bind(before).execute(tx.conn()).await?;
    Ok(())
}
