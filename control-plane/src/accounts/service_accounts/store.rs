//! Rows of service accounts.

use toolmesh_proto::ids::{ServiceAccountId, UserId};
use uuid::Uuid;

use super::ServiceAccount;
use crate::db::TenantTx;
use crate::error::Result;

/// The columns of a service account with what it has, and a condition.
macro_rules! select_accounts {
    ($condition:literal) => {
        concat!(
            "SELECT s.id, s.name, s.description, u.name AS created_by, u.email AS created_by_email, s.created_at,
               s.disabled_at,
               (SELECT count(*) FROM api_keys k WHERE k.tenant_id = s.tenant_id AND k.service_account_id = s.id
                  AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())) AS keys,
               (SELECT count(*) FROM oauth_clients c WHERE c.tenant_id = s.tenant_id AND c.service_account_id = s.id)
                 AS clients,
               (SELECT max(e.at) FROM audit_events e WHERE e.tenant_id = s.tenant_id AND e.service_account_id = s.id)
                 AS last_used_at
             FROM service_accounts s JOIN users u ON u.id = s.created_by WHERE s.tenant_id = $1 ",
            $condition
        )
    };
}

pub(super) async fn list(tx: &mut TenantTx) -> Result<Vec<ServiceAccount>> {
    let tenant = tx.tenant().uuid();
    let sql = select_accounts!("ORDER BY lower(s.name), s.id");
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn get(tx: &mut TenantTx, id: ServiceAccountId) -> Result<Option<ServiceAccount>> {
    let tenant = tx.tenant().uuid();
    let sql = select_accounts!("AND s.id = $2");
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

/// One creation at a time, so that two at once cannot pass the limit together.
pub(super) async fn lock_all(tx: &mut TenantTx) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT pg_advisory_xact_lock(hashtext('service accounts of ' || $1::text))";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn count(tx: &mut TenantTx) -> Result<i64> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT count(*) FROM service_accounts WHERE tenant_id = $1";
    Ok(sqlx::query_scalar(sql).bind(tenant).fetch_one(tx.conn()).await?)
}

/// Locks one; false where there is none.
pub(crate) async fn lock(tx: &mut TenantTx, id: ServiceAccountId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id FROM service_accounts WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";
    Ok(sqlx::query(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?.is_some())
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    id: ServiceAccountId,
    name: &str,
    description: &str,
    by: UserId,
) -> std::result::Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO service_accounts (tenant_id, id, name, description, created_by) VALUES ($1, $2, $3, $4, $5)";
    let query = sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(name).bind(description).bind(by.uuid());
    query.execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn describe(
    tx: &mut TenantTx,
    id: ServiceAccountId,
    name: &str,
    description: &str,
) -> std::result::Result<bool, sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE service_accounts SET name = $3, description = $4 WHERE tenant_id = $1 AND id = $2";
    let query = sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(name).bind(description);
    Ok(query.execute(tx.conn()).await?.rows_affected() == 1)
}

pub(super) async fn set_disabled(tx: &mut TenantTx, id: ServiceAccountId, disabled: bool) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE service_accounts SET disabled_at = CASE WHEN $3 THEN coalesce(disabled_at, now()) END
               WHERE tenant_id = $1 AND id = $2";
    let query = sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(disabled);
    Ok(query.execute(tx.conn()).await?.rows_affected() == 1)
}

pub(super) async fn delete(tx: &mut TenantTx, id: ServiceAccountId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM service_accounts WHERE tenant_id = $1 AND id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// Id, name and maker of each that may act.
pub(crate) async fn for_nodes(tx: &mut TenantTx) -> Result<Vec<(Uuid, String, Uuid)>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id, name, created_by FROM service_accounts WHERE tenant_id = $1 AND disabled_at IS NULL ORDER BY id";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

/// Who made one that may act.
pub(crate) async fn owner(tx: &mut TenantTx, id: ServiceAccountId) -> Result<Option<UserId>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT created_by FROM service_accounts WHERE tenant_id = $1 AND id = $2 AND disabled_at IS NULL";
    let owner: Option<Uuid> =
        sqlx::query_scalar(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?;
    Ok(owner.map(Into::into))
}

/// Whether one is there and may act; it stays so until the transaction ends.
pub(crate) async fn is_active(tx: &mut TenantTx, id: ServiceAccountId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id FROM service_accounts
               WHERE tenant_id = $1 AND id = $2 AND disabled_at IS NULL FOR SHARE";
    Ok(sqlx::query(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?.is_some())
}
