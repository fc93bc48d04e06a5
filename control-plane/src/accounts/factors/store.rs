//! Rows of authenticator apps, passkeys and recovery codes. They belong to people: every query names the person.

use serde_json::Value;
use time::OffsetDateTime;
use toolmesh_proto::ids::UserId;
use uuid::Uuid;

use super::{Passkey, PasskeyId};
use crate::credentials::envelope::Sealed;
use crate::db::{GlobalTx, UserTx};
use crate::error::Result;

/// An authenticator app as it is kept.
#[derive(sqlx::FromRow)]
pub(super) struct AppRow {
    #[sqlx(flatten)]
    pub sealed: Sealed,
    pub last_step: i64,
}

/// When an authenticator app was added and used.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AuthenticatorFacts {
    pub created_at: OffsetDateTime,
    pub last_used_at: Option<OffsetDateTime>,
}

/// Locks the person's row, so that what is done to their factors is done one after the other.
pub(super) async fn lock_user(tx: &mut UserTx) -> Result<bool> {
    let user = tx.user().uuid();
    let sql = "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE";
    Ok(sqlx::query(sql).bind(user).fetch_optional(tx.conn()).await?.is_some())
}

pub(super) async fn has_any(tx: &mut UserTx) -> Result<bool> {
    let user = tx.user().uuid();
    let sql = "SELECT EXISTS (SELECT FROM authenticator_apps WHERE user_id = $1)
                 OR EXISTS (SELECT FROM passkeys WHERE user_id = $1)";
    Ok(sqlx::query_scalar(sql).bind(user).fetch_one(tx.conn()).await?)
}

pub(super) async fn insert_app(tx: &mut UserTx, sealed: &Sealed, step: i64) -> Result<bool> {
    let user = tx.user().uuid();
    let sql = "INSERT INTO authenticator_apps (user_id, nonce, ciphertext, last_step, last_used_at)
               VALUES ($1, $2, $3, $4, now()) ON CONFLICT (user_id) DO NOTHING";
    let query = sqlx::query(sql).bind(user).bind(&sealed.nonce).bind(&sealed.ciphertext).bind(step);
    Ok(query.execute(tx.conn()).await?.rows_affected() > 0)
}

pub(super) async fn lock_app(tx: &mut UserTx) -> Result<Option<AppRow>> {
    let user = tx.user().uuid();
    let sql = "SELECT nonce, ciphertext, last_step FROM authenticator_apps WHERE user_id = $1 FOR UPDATE";
    Ok(sqlx::query_as(sql).bind(user).fetch_optional(tx.conn()).await?)
}

pub(super) async fn app_used(tx: &mut UserTx, step: i64) -> Result<()> {
    let user = tx.user().uuid();
    let sql = "UPDATE authenticator_apps SET last_step = $2, last_used_at = now() WHERE user_id = $1";
    sqlx::query(sql).bind(user).bind(step).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn app_facts(tx: &mut UserTx) -> Result<Option<AuthenticatorFacts>> {
    let user = tx.user().uuid();
    let sql = "SELECT created_at, last_used_at FROM authenticator_apps WHERE user_id = $1";
    Ok(sqlx::query_as(sql).bind(user).fetch_optional(tx.conn()).await?)
}

pub(super) async fn delete_app(tx: &mut UserTx) -> Result<bool> {
    let user = tx.user().uuid();
    let sql = "DELETE FROM authenticator_apps WHERE user_id = $1";
    Ok(sqlx::query(sql).bind(user).execute(tx.conn()).await?.rows_affected() > 0)
}

pub(super) async fn insert_passkey(
    tx: &mut UserTx,
    id: PasskeyId,
    credential_id: &[u8],
    name: &str,
    credential: &Value,
) -> std::result::Result<(), sqlx::Error> {
    let user = tx.user().uuid();
    let sql =
        "INSERT INTO passkeys (credential_id, id, user_id, name, credential) VALUES ($1, $2, $3, $4, $5)";
    let query = sqlx::query(sql).bind(credential_id).bind(id.0).bind(user).bind(name).bind(credential);
    query.execute(tx.conn()).await.map(|_| ())
}

pub(super) async fn passkeys(tx: &mut UserTx) -> Result<Vec<Passkey>> {
    let user = tx.user().uuid();
    let sql = "SELECT id, credential_id, name, created_at, last_used_at FROM passkeys WHERE user_id = $1
               ORDER BY created_at, id";
    Ok(sqlx::query_as(sql).bind(user).fetch_all(tx.conn()).await?)
}

/// Whose passkey this is.
pub(super) async fn owner(tx: &mut GlobalTx, credential_id: &[u8]) -> Result<Option<UserId>> {
    let sql = "SELECT user_id FROM passkeys WHERE credential_id = $1";
    let id: Option<Uuid> = sqlx::query_scalar(sql).bind(credential_id).fetch_optional(tx.conn()).await?;
    Ok(id.map(UserId::from))
}

pub(super) async fn lock_passkey(tx: &mut UserTx, credential_id: &[u8]) -> Result<Option<Value>> {
    let user = tx.user().uuid();
    let sql = "SELECT credential FROM passkeys WHERE user_id = $1 AND credential_id = $2 FOR UPDATE";
    Ok(sqlx::query_scalar(sql).bind(user).bind(credential_id).fetch_optional(tx.conn()).await?)
}

pub(super) async fn passkey_used(tx: &mut UserTx, credential_id: &[u8], credential: &Value) -> Result<()> {
    let user = tx.user().uuid();
    let sql =
        "UPDATE passkeys SET credential = $3, last_used_at = now() WHERE user_id = $1 AND credential_id = $2";
    sqlx::query(sql).bind(user).bind(credential_id).bind(credential).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn rename_passkey(tx: &mut UserTx, id: PasskeyId, name: &str) -> Result<bool> {
    let user = tx.user().uuid();
    let sql = "UPDATE passkeys SET name = $3 WHERE user_id = $1 AND id = $2";
    Ok(sqlx::query(sql).bind(user).bind(id.0).bind(name).execute(tx.conn()).await?.rows_affected() > 0)
}

/// Deletes a passkey and answers its name.
pub(super) async fn delete_passkey(tx: &mut UserTx, id: PasskeyId) -> Result<Option<String>> {
    let user = tx.user().uuid();
    let sql = "DELETE FROM passkeys WHERE user_id = $1 AND id = $2 RETURNING name";
    Ok(sqlx::query_scalar(sql).bind(user).bind(id.0).fetch_optional(tx.conn()).await?)
}

pub(super) async fn delete_passkeys(tx: &mut UserTx) -> Result<u64> {
    let user = tx.user().uuid();
    let sql = "DELETE FROM passkeys WHERE user_id = $1";
    Ok(sqlx::query(sql).bind(user).execute(tx.conn()).await?.rows_affected())
}

pub(super) async fn replace_codes(tx: &mut UserTx, hashes: &[Vec<u8>]) -> Result<()> {
    delete_codes(tx).await?;
    let user = tx.user().uuid();
    let sql = "INSERT INTO recovery_codes (user_id, hash) SELECT $1, h FROM unnest($2::bytea[]) AS h";
    sqlx::query(sql).bind(user).bind(hashes).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn delete_codes(tx: &mut UserTx) -> Result<()> {
    let user = tx.user().uuid();
    sqlx::query("DELETE FROM recovery_codes WHERE user_id = $1").bind(user).execute(tx.conn()).await?;
    Ok(())
}

/// Uses a code up. False for one that is unknown or was used.
pub(super) async fn use_code(tx: &mut UserTx, hash: &[u8]) -> Result<bool> {
    let user = tx.user().uuid();
    let sql =
        "UPDATE recovery_codes SET used_at = now() WHERE user_id = $1 AND hash = $2 AND used_at IS NULL";
    Ok(sqlx::query(sql).bind(user).bind(hash).execute(tx.conn()).await?.rows_affected() > 0)
}

pub(super) async fn codes_left(tx: &mut UserTx) -> Result<i64> {
    let user = tx.user().uuid();
    let sql = "SELECT count(*) FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL";
    Ok(sqlx::query_scalar(sql).bind(user).fetch_one(tx.conn()).await?)
}
