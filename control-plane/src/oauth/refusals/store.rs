//! Rows of refusals.

use uuid::Uuid;

use super::Kept;
use crate::db::TenantTx;
use crate::error::Result;

pub(super) struct NewRow {
    pub fingerprint: Vec<u8>,
    pub endpoint: &'static str,
    pub client_id: String,
    pub client_name: String,
    pub error: String,
    pub reason: String,
    pub remote_addr: String,
}

/// A new row, or one more of the same minute.
pub(super) async fn insert(tx: &mut TenantTx, row: &NewRow) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO oauth_refusals
                 (tenant_id, id, minute, fingerprint, endpoint, client_id, client_name, error, reason, remote_addr)
               VALUES ($1, $2, floor(extract(epoch FROM now()) / 60)::bigint, $3, $4, $5, $6, $7, $8, $9)
               ON CONFLICT (tenant_id, minute, fingerprint) DO UPDATE SET times = oauth_refusals.times + 1, at = now()";
    sqlx::query(sql)
        .bind(tenant)
        .bind(Uuid::now_v7())
        .bind(&row.fingerprint)
        .bind(row.endpoint)
        .bind(&row.client_id)
        .bind(&row.client_name)
        .bind(&row.error)
        .bind(&row.reason)
        .bind(&row.remote_addr)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn latest(tx: &mut TenantTx) -> Result<Vec<Kept>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT at, endpoint, client_id, client_name, error, reason, remote_addr, times FROM oauth_refusals
               WHERE tenant_id = $1 ORDER BY at DESC LIMIT 100";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

/// Keeps 30 days, and the latest 10,000.
pub(in crate::oauth) async fn prune(tx: &mut TenantTx) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM oauth_refusals WHERE tenant_id = $1 AND (at < now() - interval '30 days' OR at <
                 (SELECT at FROM oauth_refusals WHERE tenant_id = $1 ORDER BY at DESC OFFSET 9999 LIMIT 1))";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    Ok(())
}
