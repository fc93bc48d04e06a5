//! Rows of the outbox, and what bundles are made from besides rows.

use sqlx::PgConnection;
use toolmesh_proto::ids::TenantId;
use uuid::Uuid;

use crate::db::{CHANGES_CHANNEL, GlobalTx};
use crate::error::Result;

/// Held while the basis is compared and replaced, so that of two that start at once only one renews.
const BASIS_LOCK: i64 = 0x746d_6261_7369_7301;

/// Rows that one round of pruning deletes at most.
const PRUNE_AT_MOST: i64 = 50_000;

/// The tenants that changed within the last two minutes, with their revision now; `None` for one that is gone.
///
/// A window instead of a cursor: rows become visible in the order of commits, not of ids, and no transaction lives longer
/// than the window, so nothing can slip through. Revisions only grow, so reading a row again changes nothing.
pub(super) async fn recent_changes(tx: &mut GlobalTx) -> Result<Vec<(TenantId, Option<u64>)>> {
    let sql = "SELECT o.tenant_id, max(t.revision) FROM outbox o LEFT JOIN tenants t ON t.id = o.tenant_id
               WHERE o.created_at > now() - interval '2 minutes' GROUP BY o.tenant_id";
    let rows: Vec<(Uuid, Option<i64>)> = sqlx::query_as(sql).fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|(id, revision)| (id.into(), revision.map(i64::cast_unsigned))).collect())
}

/// Deletes what every relay has long seen. Answers how many rows it was.
pub(super) async fn prune(tx: &mut GlobalTx) -> Result<u64> {
    let sql = "DELETE FROM outbox WHERE id IN
                 (SELECT id FROM outbox WHERE created_at < now() - interval '10 minutes' ORDER BY created_at LIMIT $1)
               AND created_at < now() - interval '10 minutes'";
    Ok(sqlx::query(sql).bind(PRUNE_AT_MOST).execute(tx.conn()).await?.rows_affected())
}

/// What the bundles of now are made from; `None` before the first claim.
pub(super) async fn basis(conn: &mut PgConnection) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT basis FROM bundle_basis").fetch_optional(conn).await?)
}

/// Makes `ours` the basis of all bundles. Where another one was, or none is known, every tenant gets a new revision and the
/// relays are woken; answers how many tenants that was, and `None` where nothing had to change.
pub(super) async fn claim_basis(tx: &mut GlobalTx, ours: &str) -> Result<Option<u64>> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(BASIS_LOCK).execute(tx.conn()).await?;
    if basis(tx.conn()).await?.as_deref() == Some(ours) {
        return Ok(None);
    }
    // One statement for all tenants; the usual limit is made for statements of one.
    sqlx::query("SET LOCAL statement_timeout = '60s'").execute(tx.conn()).await?;
    let renewed: i64 = sqlx::query_scalar("SELECT renew_all_tenants()").fetch_one(tx.conn()).await?;
    sqlx::query(
        "INSERT INTO bundle_basis (basis) VALUES ($1)
         ON CONFLICT (only_row) DO UPDATE SET basis = excluded.basis, since = now()",
    )
    .bind(ours)
    .execute(tx.conn())
    .await?;
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANGES_CHANNEL).execute(tx.conn()).await?;
    Ok(Some(renewed.cast_unsigned()))
}
