//! Rows of users and of links in mails.

use time::OffsetDateTime;
use toolmesh_proto::ids::UserId;
use uuid::Uuid;

use super::User;
use crate::db::GlobalTx;
use crate::error::Result;

pub(super) async fn user_by_email(tx: &mut GlobalTx, email: &str) -> Result<Option<User>> {
    let sql = "SELECT id, email, name, verified_at, created_at FROM users WHERE email = $1";
    Ok(sqlx::query_as(sql).bind(email).fetch_optional(tx.conn()).await?)
}

pub(super) async fn user_by_id(tx: &mut GlobalTx, id: UserId) -> Result<Option<User>> {
    let sql = "SELECT id, email, name, verified_at, created_at FROM users WHERE id = $1";
    Ok(sqlx::query_as(sql).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

/// Whom an address belongs to, with the password's hash where there is one.
pub(super) async fn password_hash(
    tx: &mut GlobalTx,
    email: &str,
) -> Result<Option<(UserId, Option<String>)>> {
    let sql = "SELECT id, password_hash FROM users WHERE email = $1";
    let row: Option<(Uuid, Option<String>)> =
        sqlx::query_as(sql).bind(email).fetch_optional(tx.conn()).await?;
    Ok(row.map(|(id, hash)| (id.into(), hash)))
}

pub(super) async fn password_of(tx: &mut GlobalTx, id: UserId) -> Result<Option<String>> {
    let sql = "SELECT password_hash FROM users WHERE id = $1";
    let found: Option<Option<String>> =
        sqlx::query_scalar(sql).bind(id.uuid()).fetch_optional(tx.conn()).await?;
    Ok(found.flatten())
}

pub(super) async fn insert_user(
    tx: &mut GlobalTx,
    id: UserId,
    email: &str,
    name: &str,
    hash: &str,
) -> std::result::Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO users (id, email, name, password_hash) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
    )
        .bind(id.uuid())
        .bind(email)
        .bind(name)
        .bind(hash)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn set_password_hash(tx: &mut GlobalTx, id: UserId, hash: &str) -> Result<()> {
    sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
        .bind(id.uuid())
        .bind(hash)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn mark_verified(tx: &mut GlobalTx, id: UserId) -> Result<()> {
    sqlx::query("UPDATE users SET verified_at = coalesce(verified_at, now()) WHERE id = $1")
        .bind(id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// `chosen` is the name and the password's hash of the sign-up.
pub(super) async fn insert_email_token(
    tx: &mut GlobalTx,
    hash: &[u8],
    user: UserId,
    chosen: (&str, &str),
    expires_at: OffsetDateTime,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO email_tokens (hash, user_id, purpose, name, password_hash, expires_at)
         VALUES ($1, $2, 'verify', $3, $4, $5)",
    )
    .bind(hash)
    .bind(user.uuid())
    .bind(chosen.0)
    .bind(chosen.1)
    .bind(expires_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Hash of the password of the sign-up that a link belongs to.
pub(super) async fn chosen_password(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<String>> {
    let sql = "SELECT password_hash FROM email_tokens WHERE hash = $1";
    Ok(sqlx::query_scalar(sql).bind(hash).fetch_optional(tx.conn()).await?)
}

pub(super) async fn prune_email_tokens(tx: &mut GlobalTx) -> Result<()> {
    sqlx::query("DELETE FROM email_tokens WHERE expires_at < now() - interval '7 days'")
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn open_email_token(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<User>> {
    let sql = "SELECT u.id, u.email, u.name, u.verified_at, u.created_at FROM email_tokens t
               JOIN users u ON u.id = t.user_id
               WHERE t.hash = $1 AND t.purpose = 'verify' AND t.used_at IS NULL AND t.expires_at > now()";
    Ok(sqlx::query_as(sql).bind(hash).fetch_optional(tx.conn()).await?)
}

/// Uses a link: the account is confirmed, with the name and password of that sign-up. False if somebody was faster. The
/// user's other links die with it.
pub(super) async fn use_email_token(tx: &mut GlobalTx, hash: &[u8]) -> Result<bool> {
    let sql = "WITH used AS (
           UPDATE email_tokens SET used_at = now()
           WHERE hash = $1 AND purpose = 'verify' AND used_at IS NULL AND expires_at > now()
           RETURNING user_id, name, password_hash)
         UPDATE users u SET name = used.name, password_hash = used.password_hash, verified_at = now()
         FROM used WHERE u.id = used.user_id AND u.verified_at IS NULL RETURNING u.id";
    let user: Option<Uuid> = sqlx::query_scalar(sql).bind(hash).fetch_optional(tx.conn()).await?;
    let Some(user) = user else { return Ok(false) };
    let sql = "UPDATE email_tokens SET used_at = now() WHERE user_id = $1 AND purpose = 'verify' AND used_at IS NULL";
    sqlx::query(sql).bind(user).execute(tx.conn()).await?;
    Ok(true)
}
