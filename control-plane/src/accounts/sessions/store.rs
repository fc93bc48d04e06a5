//! Rows of sessions.

use serde_json::Value;
use time::OffsetDateTime;
use toolmesh_proto::ids::UserId;
use tower_sessions::session::Record;
use uuid::Uuid;

use super::SessionRow;
use crate::db::GlobalTx;
use crate::error::{Error, Result};

/// Key under which a session's data names its user; also a column, so that all sessions of a user can be found.
pub const USER_KEY: &str = "user";

/// Key of what else is a column: when the login was and with what, and where the session was last seen from. The time goes
/// along when the session gets a new id, so that a new id does not make it live longer.
pub const FACTS_KEY: &str = "facts";

/// What is known of a session besides its user.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    /// When its owner logged in, in seconds since 1970.
    pub since: i64,
    /// What with.
    pub method: String,
    pub address: String,
    pub agent: String,
}

struct Parts {
    user: Option<Uuid>,
    facts: Option<Facts>,
    data: Value,
}

fn parts(record: &Record) -> Result<Parts> {
    let data = serde_json::to_value(&record.data).map_err(Error::internal)?;
    let user = data.get(USER_KEY).and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
    let facts = data.get(FACTS_KEY).and_then(|facts| serde_json::from_value(facts.clone()).ok());
    Ok(Parts { user, facts, data })
}

pub(super) async fn insert(tx: &mut GlobalTx, hash: &[u8], record: &Record) -> Result<()> {
    let Parts { user, facts, data } = parts(record)?;
    let since = facts.as_ref().and_then(|facts| OffsetDateTime::from_unix_timestamp(facts.since).ok());
    let facts = facts.unwrap_or_default();
    let sql = "INSERT INTO sessions (id_hash, user_id, data, expires_at, created_at, address, agent, method)
               VALUES ($1, $2, $3, $4, coalesce($5, now()), $6, $7, $8)";
    sqlx::query(sql)
        .bind(hash)
        .bind(user)
        .bind(data)
        .bind(record.expiry_date)
        .bind(since)
        .bind(facts.address)
        .bind(facts.agent)
        .bind(facts.method)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Writes a session that is there. One that has been ended stays ended, whatever was under way.
pub(super) async fn update(tx: &mut GlobalTx, hash: &[u8], record: &Record) -> Result<()> {
    let Parts { user, facts, data } = parts(record)?;
    let facts = facts.unwrap_or_default();
    let sql = "UPDATE sessions SET user_id = $2, data = $3, expires_at = $4, last_seen_at = now(),
                      address = $5, agent = $6, method = $7 WHERE id_hash = $1";
    sqlx::query(sql)
        .bind(hash)
        .bind(user)
        .bind(data)
        .bind(record.expiry_date)
        .bind(facts.address)
        .bind(facts.agent)
        .bind(facts.method)
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

/// The living sessions of a user; `own` is the hash of the one that asks.
pub(super) async fn of_user(tx: &mut GlobalTx, user: UserId, own: &[u8]) -> Result<Vec<SessionRow>> {
    let sql = "SELECT handle, address, agent, method, created_at, last_seen_at, id_hash = $2 AS current
               FROM sessions
               WHERE user_id = $1 AND expires_at > now() AND created_at > now() - interval '7 days'
               ORDER BY current DESC, last_seen_at DESC LIMIT 200";
    Ok(sqlx::query_as(sql).bind(user.uuid()).bind(own).fetch_all(tx.conn()).await?)
}

pub(super) async fn delete_one(tx: &mut GlobalTx, user: UserId, handle: Uuid) -> Result<Option<SessionRow>> {
    let sql = "DELETE FROM sessions WHERE user_id = $1 AND handle = $2
               RETURNING handle, address, agent, method, created_at, last_seen_at, false AS current";
    Ok(sqlx::query_as(sql).bind(user.uuid()).bind(handle).fetch_optional(tx.conn()).await?)
}

/// Deletes the sessions of a user but the one with this hash.
pub(super) async fn delete_of_user(tx: &mut GlobalTx, user: UserId, keep: &[u8]) -> Result<u64> {
    let sql = "DELETE FROM sessions WHERE user_id = $1 AND id_hash <> $2";
    Ok(sqlx::query(sql).bind(user.uuid()).bind(keep).execute(tx.conn()).await?.rows_affected())
}

pub(super) async fn delete_all(tx: &mut GlobalTx) -> Result<u64> {
    Ok(sqlx::query("DELETE FROM sessions").execute(tx.conn()).await?.rows_affected())
}

/// Deletes what has ended; returns how many.
pub(crate) async fn prune(tx: &mut GlobalTx) -> Result<u64> {
    let sql = "DELETE FROM sessions WHERE expires_at < now() OR created_at < now() - interval '7 days'";
    Ok(sqlx::query(sql).execute(tx.conn()).await?.rows_affected())
}
