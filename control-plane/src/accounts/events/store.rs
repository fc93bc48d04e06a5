//! Rows of security events. Each query names the one person that they are of.

use serde_json::Value;
use sqlx::PgConnection;
use toolmesh_proto::ids::UserId;
use uuid::Uuid;

use super::Event;
use crate::accounts::origin::Origin;
use crate::db::GlobalTx;
use crate::error::Result;

pub(super) async fn insert(
    conn: &mut PgConnection,
    user: UserId,
    kind: &str,
    from: &Origin,
    details: Value,
) -> Result<()> {
    let sql = "INSERT INTO security_events (id, user_id, kind, address, device, browser, details)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(sql)
        .bind(Uuid::now_v7())
        .bind(user.uuid())
        .bind(kind)
        .bind(&from.address)
        .bind(from.device())
        .bind(&from.browser)
        .bind(details)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn recent(tx: &mut GlobalTx, user: UserId, limit: i64) -> Result<Vec<Event>> {
    let sql = "SELECT at, kind, address, device, details FROM security_events
               WHERE user_id = $1 ORDER BY at DESC, id DESC LIMIT $2";
    Ok(sqlx::query_as(sql).bind(user.uuid()).bind(limit).fetch_all(tx.conn()).await?)
}

/// Whether somebody who has logged in before has never done so with this browser, nor with one of its kind at this address.
pub(super) async fn is_new_device(tx: &mut GlobalTx, user: UserId, from: &Origin) -> Result<bool> {
    let sql =
        "SELECT count(*) > 0 AND NOT coalesce(bool_or(browser = $2 OR (device = $3 AND address = $4)), false)
               FROM security_events WHERE user_id = $1 AND kind = 'logged_in'";
    let found = sqlx::query_scalar(sql)
        .bind(user.uuid())
        .bind(&from.browser)
        .bind(from.device())
        .bind(&from.address)
        .fetch_one(tx.conn())
        .await?;
    Ok(found)
}

/// Forgets what is older than a year and a month.
pub(in crate::accounts) async fn prune(tx: &mut GlobalTx) -> Result<()> {
    sqlx::query("DELETE FROM security_events WHERE at < now() - interval '13 months'")
        .execute(tx.conn())
        .await?;
    Ok(())
}
