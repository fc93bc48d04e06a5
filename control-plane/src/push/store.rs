//! Rows of the outbox.

use toolmesh_proto::ids::TenantId;
use uuid::Uuid;

use crate::db::GlobalTx;
use crate::error::Result;

/// The newest revision of each tenant that changed within the last two minutes.
///
/// A window instead of a cursor: rows become visible in the order of commits, not of ids, and no transaction lives longer
/// than the window, so nothing can slip through. Revisions only grow, so reading a row again changes nothing.
pub(super) async fn recent_changes(tx: &mut GlobalTx) -> Result<Vec<(TenantId, u64)>> {
    let sql = "SELECT tenant_id, max(revision) FROM outbox WHERE created_at > now() - interval '2 minutes' GROUP BY tenant_id";
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(sql).fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|(id, revision)| (id.into(), revision.cast_unsigned())).collect())
}

/// Deletes what every relay has long seen.
pub(super) async fn prune(tx: &mut GlobalTx) -> Result<()> {
    sqlx::query("DELETE FROM outbox WHERE created_at < now() - interval '10 minutes'")
        .execute(tx.conn())
        .await?;
    Ok(())
}
