//! Rows of users and of links in mails.

use time::OffsetDateTime;
use toolmesh_proto::ids::UserId;
use uuid::Uuid;

use super::User;
use super::profile::{EmailChange, PendingEmail};
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
    code_mac: &[u8],
    expires_at: OffsetDateTime,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO email_tokens (hash, user_id, purpose, name, password_hash, code_mac, expires_at)
         VALUES ($1, $2, 'verify', $3, $4, $5, $6)",
    )
    .bind(hash)
    .bind(user.uuid())
    .bind(chosen.0)
    .bind(chosen.1)
    .bind(code_mac)
    .bind(expires_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What was chosen at a sign-up that has not been confirmed.
#[derive(sqlx::FromRow)]
pub(super) struct Chosen {
    #[sqlx(try_from = "uuid::Uuid")]
    pub user_id: UserId,
    pub name: String,
    pub password_hash: String,
}

/// The sign-up that a mail belongs to, while it is not confirmed.
pub(super) async fn sign_up_of(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<Chosen>> {
    let sql = "SELECT user_id, name, password_hash FROM email_tokens WHERE hash = $1 AND used_at IS NULL AND expires_at > now()";
    Ok(sqlx::query_as(sql).bind(hash).fetch_optional(tx.conn()).await?)
}

/// Counts a try of a code; answers its MAC while there are tries left and the code is young.
pub(super) async fn try_sign_up_code(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<Vec<u8>>> {
    let sql = "UPDATE email_tokens SET code_tries = code_tries + 1
               WHERE hash = $1 AND used_at IS NULL AND code_tries < 5 AND created_at > now() - interval '30 minutes'
               RETURNING code_mac";
    let found: Option<Option<Vec<u8>>> = sqlx::query_scalar(sql).bind(hash).fetch_optional(tx.conn()).await?;
    Ok(found.flatten())
}

/// Deletes links that ended a week ago.
pub(super) async fn prune(tx: &mut GlobalTx) -> Result<()> {
    for sql in [
        "DELETE FROM email_tokens WHERE expires_at < now() - interval '7 days'",
        "DELETE FROM password_resets WHERE expires_at < now() - interval '7 days'",
        "DELETE FROM email_changes WHERE expires_at < now() - interval '7 days'",
    ] {
        sqlx::query(sql).execute(tx.conn()).await?;
    }
    Ok(())
}

pub(super) async fn open_email_token(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<User>> {
    let sql = "SELECT u.id, u.email, u.name, u.verified_at, u.created_at FROM email_tokens t
               JOIN users u ON u.id = t.user_id
               WHERE t.hash = $1 AND t.purpose = 'verify' AND t.used_at IS NULL AND t.expires_at > now()";
    Ok(sqlx::query_as(sql).bind(hash).fetch_optional(tx.conn()).await?)
}

/// Uses a link: the account is confirmed, with the name and password of that sign-up. Nothing if somebody was faster. The
/// user's other links die with it.
pub(super) async fn use_email_token(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<UserId>> {
    let sql = "WITH used AS (
           UPDATE email_tokens SET used_at = now()
           WHERE hash = $1 AND purpose = 'verify' AND used_at IS NULL AND expires_at > now()
           RETURNING user_id, name, password_hash)
         UPDATE users u SET name = used.name, password_hash = used.password_hash, password_set_at = now(), verified_at = now()
         FROM used WHERE u.id = used.user_id AND u.verified_at IS NULL RETURNING u.id";
    let user: Option<Uuid> = sqlx::query_scalar(sql).bind(hash).fetch_optional(tx.conn()).await?;
    let Some(user) = user else { return Ok(None) };
    let sql = "UPDATE email_tokens SET used_at = now() WHERE user_id = $1 AND purpose = 'verify' AND used_at IS NULL";
    sqlx::query(sql).bind(user).execute(tx.conn()).await?;
    Ok(Some(user.into()))
}

// The account's own page ---------------------------------------------------------------------------------------------

pub(super) async fn set_name(tx: &mut GlobalTx, id: UserId, name: &str) -> Result<()> {
    let sql = "UPDATE users SET name = $2 WHERE id = $1";
    sqlx::query(sql).bind(id.uuid()).bind(name).execute(tx.conn()).await?;
    Ok(())
}

/// A password that its owner chose, unlike one that is only hashed anew.
pub(super) async fn set_password(tx: &mut GlobalTx, id: UserId, hash: &str) -> Result<()> {
    let sql = "UPDATE users SET password_hash = $2, password_set_at = now() WHERE id = $1";
    sqlx::query(sql).bind(id.uuid()).bind(hash).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn clear_password(tx: &mut GlobalTx, id: UserId) -> Result<()> {
    let sql = "UPDATE users SET password_hash = NULL, password_set_at = NULL WHERE id = $1";
    sqlx::query(sql).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn password_set_at(tx: &mut GlobalTx, id: UserId) -> Result<Option<OffsetDateTime>> {
    let sql =
        "SELECT coalesce(password_set_at, created_at) FROM users WHERE id = $1 AND password_hash IS NOT NULL";
    Ok(sqlx::query_scalar(sql).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

pub(super) async fn set_email(
    tx: &mut GlobalTx,
    id: UserId,
    email: &str,
) -> std::result::Result<(), sqlx::Error> {
    let sql = "UPDATE users SET email = $2 WHERE id = $1";
    sqlx::query(sql).bind(id.uuid()).bind(email).execute(tx.conn()).await?;
    Ok(())
}

/// Deletes a sign-up that nobody has confirmed; it belongs to no workspace.
pub(super) async fn delete_unconfirmed(tx: &mut GlobalTx, email: &str) -> Result<()> {
    let sql = "DELETE FROM users WHERE email = $1 AND verified_at IS NULL";
    sqlx::query(sql).bind(email).execute(tx.conn()).await?;
    Ok(())
}

// A change of address ------------------------------------------------------------------------------------------------

pub(super) async fn insert_email_change(
    tx: &mut GlobalTx,
    hash: &[u8],
    user: UserId,
    email: &str,
    code_mac: &[u8],
    expires_at: OffsetDateTime,
) -> Result<()> {
    let sql =
        "INSERT INTO email_changes (hash, user_id, email, code_mac, expires_at) VALUES ($1, $2, $3, $4, $5)";
    sqlx::query(sql)
        .bind(hash)
        .bind(user.uuid())
        .bind(email)
        .bind(code_mac)
        .bind(expires_at)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A link that gives an account back to an address.
pub(super) async fn insert_undo(
    tx: &mut GlobalTx,
    hash: &[u8],
    user: UserId,
    email: &str,
    expires_at: OffsetDateTime,
) -> Result<()> {
    let sql =
        "INSERT INTO email_changes (hash, user_id, email, undo, expires_at) VALUES ($1, $2, $3, true, $4)";
    sqlx::query(sql).bind(hash).bind(user.uuid()).bind(email).bind(expires_at).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn pending_email(tx: &mut GlobalTx, user: UserId) -> Result<Option<PendingEmail>> {
    let sql = "SELECT email, expires_at FROM email_changes
               WHERE user_id = $1 AND NOT undo AND used_at IS NULL AND expires_at > now()
               ORDER BY created_at DESC LIMIT 1";
    Ok(sqlx::query_as(sql).bind(user.uuid()).fetch_optional(tx.conn()).await?)
}

/// Counts a try of the code of a user's newest change; answers the change and the code's MAC while there are tries left.
pub(super) async fn try_email_code(tx: &mut GlobalTx, user: UserId) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let sql = "UPDATE email_changes SET code_tries = code_tries + 1
               WHERE hash = (SELECT hash FROM email_changes
                             WHERE user_id = $1 AND NOT undo AND used_at IS NULL AND expires_at > now()
                             ORDER BY created_at DESC LIMIT 1)
                 AND code_tries < 5 AND code_mac IS NOT NULL
               RETURNING hash, code_mac";
    Ok(sqlx::query_as(sql).bind(user.uuid()).fetch_optional(tx.conn()).await?)
}

pub(super) async fn open_email_change(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<EmailChange>> {
    let sql = "SELECT user_id, email FROM email_changes
               WHERE hash = $1 AND NOT undo AND used_at IS NULL AND expires_at > now()";
    Ok(sqlx::query_as(sql).bind(hash).fetch_optional(tx.conn()).await?)
}

pub(super) async fn use_email_change(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<EmailChange>> {
    let sql = "UPDATE email_changes SET used_at = now()
               WHERE hash = $1 AND NOT undo AND used_at IS NULL AND expires_at > now() RETURNING user_id, email";
    Ok(sqlx::query_as(sql).bind(hash).fetch_optional(tx.conn()).await?)
}

/// Ends what a user has asked for; the way back that an old address has been given stays.
pub(super) async fn end_email_changes(tx: &mut GlobalTx, user: UserId) -> Result<()> {
    let sql = "UPDATE email_changes SET used_at = now() WHERE user_id = $1 AND NOT undo AND used_at IS NULL";
    sqlx::query(sql).bind(user.uuid()).execute(tx.conn()).await?;
    Ok(())
}

// A new password by mail ---------------------------------------------------------------------------------------------

/// Writes a link for the confirmed account of an address, if there is one: one statement either way.
pub(super) async fn insert_reset(
    tx: &mut GlobalTx,
    hash: &[u8],
    email: &str,
    expires_at: OffsetDateTime,
) -> Result<Option<User>> {
    let sql = "WITH owner AS (
           SELECT id, email, name, verified_at, created_at FROM users WHERE email = $2 AND verified_at IS NOT NULL),
         written AS (
           INSERT INTO password_resets (hash, user_id, expires_at) SELECT $1, id, $3 FROM owner)
         SELECT id, email, name, verified_at, created_at FROM owner";
    Ok(sqlx::query_as(sql).bind(hash).bind(email).bind(expires_at).fetch_optional(tx.conn()).await?)
}

pub(super) async fn open_reset(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<User>> {
    let sql = "SELECT u.id, u.email, u.name, u.verified_at, u.created_at
               FROM password_resets r JOIN users u ON u.id = r.user_id
               WHERE r.hash = $1 AND r.used_at IS NULL AND r.expires_at > now()";
    Ok(sqlx::query_as(sql).bind(hash).fetch_optional(tx.conn()).await?)
}

/// Uses a link; false if somebody was faster.
pub(super) async fn use_reset(tx: &mut GlobalTx, hash: &[u8]) -> Result<bool> {
    let sql = "UPDATE password_resets SET used_at = now() WHERE hash = $1 AND used_at IS NULL AND expires_at > now()";
    Ok(sqlx::query(sql).bind(hash).execute(tx.conn()).await?.rows_affected() == 1)
}

pub(super) async fn end_resets(tx: &mut GlobalTx, user: UserId) -> Result<()> {
    let sql = "UPDATE password_resets SET used_at = now() WHERE user_id = $1 AND used_at IS NULL";
    sqlx::query(sql).bind(user.uuid()).execute(tx.conn()).await?;
    Ok(())
}
