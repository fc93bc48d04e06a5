//! Rows of grants, codes, refresh tokens and signing keys.

use time::OffsetDateTime;
use toolmesh_proto::ids::{GrantId, UserId};
use uuid::Uuid;

use super::keys::{KeyFact, Standing};
use super::schedule::Times;
use crate::db::{GlobalTx, TenantTx};
use crate::error::Result;

#[derive(sqlx::FromRow)]
pub(super) struct KeyRow {
    pub kid: String,
    pub public: Vec<u8>,
    pub nonce: Vec<u8>,
    pub wrapped: Vec<u8>,
    #[sqlx(flatten)]
    pub times: Times,
}

#[derive(sqlx::FromRow)]
struct FactRow {
    kid: String,
    #[sqlx(flatten)]
    times: Times,
    retired_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
pub(super) struct GrantRow {
    #[sqlx(try_from = "Uuid")]
    pub id: GrantId,
    #[sqlx(try_from = "Uuid")]
    pub user_id: UserId,
    pub client_id: String,
    pub scope: String,
    pub created_at: OffsetDateTime,
    pub revoked_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
pub(super) struct CodeRow {
    #[sqlx(try_from = "Uuid")]
    pub grant_id: GrantId,
    pub client_id: String,
    pub redirect_uri: String,
    pub challenge: String,
    pub expires_at: OffsetDateTime,
    pub used_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
pub(super) struct RefreshRow {
    pub expires_at: OffsetDateTime,
    pub rotated_at: Option<OffsetDateTime>,
    pub grace_uses: i32,
    /// A token that was got with this one has itself been exchanged.
    pub child_rotated: bool,
}

/// One control plane at a time makes the first key.
pub(super) async fn lock_keys(tx: &mut GlobalTx) -> Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('toolmesh signing keys'))").execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn keys(tx: &mut GlobalTx) -> Result<Vec<KeyRow>> {
    let sql = "SELECT kid, public, nonce, wrapped, published_at, sign_from, sign_until, retire_at
               FROM signing_keys WHERE retired_at IS NULL ORDER BY sign_from, kid";
    Ok(sqlx::query_as(sql).fetch_all(tx.conn()).await?)
}

pub(super) async fn insert_key(tx: &mut GlobalTx, row: &KeyRow) -> Result<()> {
    let sql = "INSERT INTO signing_keys
                 (kid, public, nonce, wrapped, published_at, sign_from, sign_until, retire_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    sqlx::query(sql)
        .bind(&row.kid)
        .bind(&row.public)
        .bind(&row.nonce)
        .bind(&row.wrapped)
        .bind(row.times.published_at)
        .bind(row.times.sign_from)
        .bind(row.times.sign_until)
        .bind(row.times.retire_at)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn set_times(tx: &mut GlobalTx, kid: &str, times: &Times) -> Result<()> {
    let sql = "UPDATE signing_keys SET sign_until = $2, retire_at = $3 WHERE kid = $1";
    sqlx::query(sql).bind(kid).bind(times.sign_until).bind(times.retire_at).execute(tx.conn()).await?;
    Ok(())
}

/// Drops a key; its private half is wiped.
pub(super) async fn retire_key(tx: &mut GlobalTx, kid: &str, now: OffsetDateTime) -> Result<()> {
    let sql = "UPDATE signing_keys SET retired_at = $2, retire_at = least(retire_at, $2),
                 sign_until = least(sign_until, $2), nonce = '', wrapped = '' WHERE kid = $1";
    sqlx::query(sql).bind(kid).bind(now).execute(tx.conn()).await?;
    Ok(())
}

/// Wakes every control plane when the transaction commits.
pub(super) async fn announce_keys(tx: &mut GlobalTx) -> Result<()> {
    sqlx::query("SELECT pg_notify($1, '')").bind(super::keys::CHANNEL).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn key_facts(tx: &mut GlobalTx, now: OffsetDateTime) -> Result<Vec<KeyFact>> {
    let sql = "SELECT kid, published_at, sign_from, sign_until, retire_at, retired_at FROM signing_keys
               WHERE retired_at IS NULL OR retired_at > $1 - interval '30 days' ORDER BY sign_from DESC, kid";
    let rows: Vec<FactRow> = sqlx::query_as(sql).bind(now).fetch_all(tx.conn()).await?;
    let fact = |row: FactRow| KeyFact {
        kid: row.kid,
        standing: Standing::Retired,
        times: row.times,
        retired_at: row.retired_at,
    };
    Ok(rows.into_iter().map(fact).collect())
}

/// A consent that was given.
pub(super) struct NewGrant<'a> {
    pub id: GrantId,
    pub user: UserId,
    pub client_id: &'a str,
    pub scope: &'a str,
    pub redirect_uri: &'a str,
    /// When the person was asked, which may be before this grant.
    pub consented_at: OffsetDateTime,
}

pub(super) async fn insert_grant(tx: &mut TenantTx, grant: &NewGrant<'_>) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql =
        "INSERT INTO oauth_grants (tenant_id, id, user_id, client_id, scope, redirect_uri, consented_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(sql)
        .bind(tenant)
        .bind(grant.id.uuid())
        .bind(grant.user.uuid())
        .bind(grant.client_id)
        .bind(grant.scope)
        .bind(grant.redirect_uri)
        .bind(grant.consented_at)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// When this person last allowed this client at least this scope with this redirect, within 30 days, if a refresh token of
/// that consent lives: with the grant, the memory of it goes.
pub(super) async fn consent(
    tx: &mut TenantTx,
    user: UserId,
    client_id: &str,
    redirect_uri: &str,
    scope: &str,
) -> Result<Option<OffsetDateTime>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT max(g.consented_at) FROM oauth_grants g
               WHERE g.tenant_id = $1 AND g.user_id = $2 AND g.client_id = $3 AND g.redirect_uri = $4
                 AND g.revoked_at IS NULL AND g.consented_at > now() - interval '30 days'
                 AND string_to_array(g.scope, ' ') @> string_to_array($5, ' ')
                 AND EXISTS (SELECT FROM refresh_tokens r WHERE r.tenant_id = g.tenant_id AND r.grant_id = g.id
                             AND r.rotated_at IS NULL AND r.expires_at > now())";
    Ok(sqlx::query_scalar(sql)
        .bind(tenant)
        .bind(user.uuid())
        .bind(client_id)
        .bind(redirect_uri)
        .bind(scope)
        .fetch_one(tx.conn())
        .await?)
}

/// The grant with its row locked. A grant of a member who was removed is gone, since its row goes with the membership.
pub(super) async fn lock_grant(tx: &mut TenantTx, id: GrantId) -> Result<Option<GrantRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id, user_id, client_id, scope, created_at, revoked_at FROM oauth_grants
               WHERE tenant_id = $1 AND id = $2 FOR UPDATE";
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

/// Notes when the grant's newest access token was issued: a revocation reaches at least that far.
pub(super) async fn set_last_iat(tx: &mut TenantTx, id: GrantId, iat: i64) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE oauth_grants SET last_iat = greatest(last_iat, $3) WHERE tenant_id = $1 AND id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(iat).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn insert_code(tx: &mut TenantTx, hash: &[u8], row: &CodeRow) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO oauth_codes (tenant_id, hash, grant_id, redirect_uri, challenge, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tenant)
    .bind(hash)
    .bind(row.grant_id.uuid())
    .bind(&row.redirect_uri)
    .bind(&row.challenge)
    .bind(row.expires_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn grant_of_code(tx: &mut TenantTx, hash: &[u8]) -> Result<Option<GrantId>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT grant_id FROM oauth_codes WHERE tenant_id = $1 AND hash = $2";
    let id: Option<Uuid> = sqlx::query_scalar(sql).bind(tenant).bind(hash).fetch_optional(tx.conn()).await?;
    Ok(id.map(GrantId::from))
}

pub(super) async fn lock_code(tx: &mut TenantTx, hash: &[u8]) -> Result<Option<CodeRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT c.grant_id, g.client_id, c.redirect_uri, c.challenge, c.expires_at, c.used_at
               FROM oauth_codes c JOIN oauth_grants g ON g.tenant_id = c.tenant_id AND g.id = c.grant_id
               WHERE c.tenant_id = $1 AND c.hash = $2 FOR UPDATE OF c";
    Ok(sqlx::query_as(sql).bind(tenant).bind(hash).fetch_optional(tx.conn()).await?)
}

pub(super) async fn mark_code_used(tx: &mut TenantTx, hash: &[u8]) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE oauth_codes SET used_at = now() WHERE tenant_id = $1 AND hash = $2";
    sqlx::query(sql).bind(tenant).bind(hash).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn insert_refresh(
    tx: &mut TenantTx,
    hash: &[u8],
    grant: GrantId,
    expires_at: OffsetDateTime,
    parent: Option<&[u8]>,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO refresh_tokens (tenant_id, hash, grant_id, expires_at, parent_hash) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant)
    .bind(hash)
    .bind(grant.uuid())
    .bind(expires_at)
    .bind(parent)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn grant_of_refresh(tx: &mut TenantTx, hash: &[u8]) -> Result<Option<GrantId>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT grant_id FROM refresh_tokens WHERE tenant_id = $1 AND hash = $2";
    let id: Option<Uuid> = sqlx::query_scalar(sql).bind(tenant).bind(hash).fetch_optional(tx.conn()).await?;
    Ok(id.map(GrantId::from))
}

pub(super) async fn refresh_token(tx: &mut TenantTx, hash: &[u8]) -> Result<Option<RefreshRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT r.expires_at, r.rotated_at, r.grace_uses,
                 EXISTS (SELECT FROM refresh_tokens c WHERE c.tenant_id = r.tenant_id AND c.grant_id = r.grant_id
                         AND c.parent_hash = r.hash AND c.rotated_at IS NOT NULL) AS child_rotated
               FROM refresh_tokens r WHERE r.tenant_id = $1 AND r.hash = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(hash).fetch_optional(tx.conn()).await?)
}

/// The first exchange marks it; later ones within the grace period count.
pub(super) async fn mark_rotated(tx: &mut TenantTx, hash: &[u8]) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE refresh_tokens
               SET grace_uses = grace_uses + CASE WHEN rotated_at IS NULL THEN 0 ELSE 1 END,
                   rotated_at = coalesce(rotated_at, now())
               WHERE tenant_id = $1 AND hash = $2";
    sqlx::query(sql).bind(tenant).bind(hash).execute(tx.conn()).await?;
    // Of tokens that a race gave for one, the first to be exchanged goes on and the others end.
    let sql = "UPDATE refresh_tokens s SET expires_at = least(s.expires_at, now() - interval '1 minute') FROM refresh_tokens r
               WHERE r.tenant_id = $1 AND r.hash = $2 AND s.tenant_id = $1 AND s.grant_id = r.grant_id
                 AND s.parent_hash = r.parent_hash AND s.hash <> r.hash AND s.rotated_at IS NULL";
    sqlx::query(sql).bind(tenant).bind(hash).execute(tx.conn()).await?;
    Ok(())
}

/// Takes a signed assertion's id, if nobody has yet.
pub(super) async fn use_jti(
    tx: &mut TenantTx,
    issuer: &str,
    jti: &str,
    expires_at: OffsetDateTime,
) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let hash = crate::credentials::token::hash(&format!("{issuer}\n{jti}"));
    let sql =
        "INSERT INTO oauth_jtis (tenant_id, hash, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql).bind(tenant).bind(hash).bind(expires_at);
    Ok(query.execute(tx.conn()).await?.rows_affected() == 1)
}

/// Deletes codes and refresh tokens that nobody can use and whose reuse nobody needs to notice any more.
pub(super) async fn prune(tx: &mut TenantTx) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM oauth_codes WHERE tenant_id = $1 AND expires_at < now() - interval '1 day'";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    let sql = "DELETE FROM refresh_tokens WHERE tenant_id = $1
                 AND (expires_at < now() - interval '1 day' OR rotated_at < now() - interval '30 days')";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    let sql = "DELETE FROM oauth_grants g WHERE g.tenant_id = $1 AND g.created_at < now() - interval '1 day'
                 AND NOT EXISTS (SELECT FROM refresh_tokens r WHERE r.tenant_id = g.tenant_id AND r.grant_id = g.id)";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    let sql = "DELETE FROM oauth_jtis WHERE tenant_id = $1 AND expires_at < now()";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn clients_of(tx: &mut TenantTx, user: UserId) -> Result<Vec<String>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT DISTINCT c.name FROM oauth_grants g
         JOIN oauth_clients c ON c.tenant_id = g.tenant_id AND c.client_id = g.client_id
         WHERE g.tenant_id = $1 AND g.user_id = $2 AND g.revoked_at IS NULL ORDER BY c.name LIMIT 100";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(user.uuid()).fetch_all(tx.conn()).await?)
}

pub(super) async fn last_client(tx: &mut TenantTx, user: Option<UserId>) -> Result<Option<String>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT c.name FROM oauth_grants g
         JOIN oauth_clients c ON c.tenant_id = g.tenant_id AND c.client_id = g.client_id
         WHERE g.tenant_id = $1 AND g.revoked_at IS NULL AND ($2::uuid IS NULL OR g.user_id = $2)
         ORDER BY g.created_at DESC LIMIT 1";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(user.map(UserId::uuid)).fetch_optional(tx.conn()).await?)
}
