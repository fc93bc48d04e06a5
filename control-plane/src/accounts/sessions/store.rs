//! Rows of sessions.

use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions::session::Record;
use uuid::Uuid;

use crate::db::GlobalTx;
use crate::error::{Error, Result};

/// Key under which a session's data names its user; also a column, so that all sessions of a user can be found.
pub const USER_KEY: &str = "user";

fn parts(record: &Record) -> Result<(Option<Uuid>, Value)> {
    let data = serde_json::to_value(&record.data).map_err(Error::internal)?;
    let user = data.get(USER_KEY).and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
    Ok((user, data))
}

pub(super) async fn insert(tx: &mut GlobalTx, hash: &[u8], record: &Record) -> Result<()> {
    let (user, data) = parts(record)?;
    sqlx::query("INSERT INTO sessions (id_hash, user_id, data, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(hash)
        .bind(user)
        .bind(data)
        .bind(record.expiry_date)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Writes a session that is there. One that has been ended stays ended, whatever was under way.
pub(super) async fn update(tx: &mut GlobalTx, hash: &[u8], record: &Record) -> Result<()> {
    let (user, data) = parts(record)?;
    sqlx::query("UPDATE sessions SET user_id = $2, data = $3, expires_at = $4 WHERE id_hash = $1")
        .bind(hash)
        .bind(user)
        .bind(data)
        .bind(record.expiry_date)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn load(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<(Value, OffsetDateTime)>> {
    // A session lives seven days at most, whatever is done with it.
    let sql =
        "SELECT data, least(expires_at, created_at + interval '7 days') FROM sessions WHERE id_hash = $1";
    Ok(sqlx::query_as(sql).bind(hash).fetch_optional(tx.conn()).await?)
}

pub(super) async fn delete(tx: &mut GlobalTx, hash: &[u8]) -> Result<()> {
    sqlx::query("DELETE FROM sessions WHERE id_hash = $1").bind(hash).execute(tx.conn()).await?;
    Ok(())
}

/// Deletes what has ended; returns how many.
pub(crate) async fn prune(tx: &mut GlobalTx) -> Result<u64> {
    let sql = "DELETE FROM sessions WHERE expires_at < now() OR created_at < now() - interval '7 days'";
    Ok(sqlx::query(sql).execute(tx.conn()).await?.rows_affected())
}
