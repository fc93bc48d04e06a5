//! Rows of API keys.

use time::OffsetDateTime;
use toolmesh_proto::ids::{ApiKeyId, UserId};

use super::ApiKey;
use crate::credentials::token::Token;
use crate::db::TenantTx;
use crate::error::Result;

/// What a node needs of a key.
#[derive(sqlx::FromRow)]
pub(crate) struct NodeKey {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: ApiKeyId,
    #[sqlx(try_from = "uuid::Uuid")]
    pub user_id: UserId,
    pub name: String,
    pub sha256: Vec<u8>,
    pub expires_at: Option<OffsetDateTime>,
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    id: ApiKeyId,
    user: UserId,
    name: &str,
    token: &Token,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO api_keys (tenant_id, id, user_id, name, sha256, last4) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(user.uuid())
    .bind(name)
    .bind(&token.hash)
    .bind(token.last4())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn all(tx: &mut TenantTx) -> Result<Vec<ApiKey>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT k.id, k.user_id, u.name AS owner, u.email AS owner_email, k.name, k.last4, k.created_at, k.expires_at,
                 (SELECT max(e.at) FROM audit_events e WHERE e.tenant_id = k.tenant_id AND e.api_key_id = k.id) AS last_used_at
               FROM api_keys k JOIN users u ON u.id = k.user_id
               WHERE k.tenant_id = $1 AND k.revoked_at IS NULL ORDER BY k.created_at DESC";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn of_user(tx: &mut TenantTx, user: UserId) -> Result<Vec<ApiKey>> {
    let mut keys = all(tx).await?;
    keys.retain(|key| key.user_id == user);
    Ok(keys)
}

pub(super) async fn revoke(tx: &mut TenantTx, id: ApiKeyId, only: Option<UserId>) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE api_keys SET revoked_at = now()
               WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL AND ($3::uuid IS NULL OR user_id = $3)";
    let query = sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(only.map(UserId::uuid));
    Ok(query.execute(tx.conn()).await?.rows_affected() == 1)
}

pub(crate) async fn for_nodes(tx: &mut TenantTx) -> Result<Vec<NodeKey>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id, user_id, name, sha256, expires_at FROM api_keys
               WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) ORDER BY id";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}
