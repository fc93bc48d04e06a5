//! Rows of trusted identity providers, and of whom they have vouched for.

use toolmesh_proto::ids::{GrantId, IdentityProviderId, UserId};
use uuid::Uuid;

use super::IdentityProvider;
use crate::db::TenantTx;
use crate::error::Result;

/// What a check needs of a provider.
#[derive(sqlx::FromRow)]
pub(in crate::oauth) struct Trusted {
    #[sqlx(try_from = "Uuid")]
    pub id: IdentityProviderId,
    pub jwks_uri: String,
    pub client_ids: Vec<String>,
}

pub(super) async fn list(tx: &mut TenantTx) -> Result<Vec<IdentityProvider>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT p.id, p.issuer, p.jwks_uri, p.client_ids, p.created_at, u.name AS created_by, p.last_used_at,
                 (SELECT count(*) FROM identity_links l WHERE l.tenant_id = p.tenant_id AND l.provider_id = p.id) AS people
               FROM identity_providers p JOIN users u ON u.id = p.created_by
               WHERE p.tenant_id = $1 ORDER BY p.issuer";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

/// Whether there is any.
pub(crate) async fn any(tx: &mut TenantTx) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT EXISTS (SELECT FROM identity_providers WHERE tenant_id = $1)";
    Ok(sqlx::query_scalar(sql).bind(tenant).fetch_one(tx.conn()).await?)
}

/// One addition at a time, so that two at once cannot pass the limit together.
pub(super) async fn lock_all(tx: &mut TenantTx) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT pg_advisory_xact_lock(hashtext('identity providers of ' || $1::text))";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn count(tx: &mut TenantTx) -> Result<i64> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT count(*) FROM identity_providers WHERE tenant_id = $1";
    Ok(sqlx::query_scalar(sql).bind(tenant).fetch_one(tx.conn()).await?)
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    id: IdentityProviderId,
    issuer: &str,
    jwks_uri: &str,
    client_ids: &[String],
    by: UserId,
) -> std::result::Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO identity_providers (tenant_id, id, issuer, jwks_uri, client_ids, created_by)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(issuer)
    .bind(jwks_uri)
    .bind(client_ids)
    .bind(by.uuid())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn delete(tx: &mut TenantTx, id: IdentityProviderId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM identity_providers WHERE tenant_id = $1 AND id = $2";
    Ok(sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?.rows_affected() == 1)
}

/// Grants of the people a provider has vouched for by which an access token may still be good.
pub(super) async fn grants(tx: &mut TenantTx, id: IdentityProviderId) -> Result<Vec<GrantId>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT g.id FROM oauth_grants g
               WHERE g.tenant_id = $1 AND g.via = 'identity_provider' AND g.revoked_at IS NULL
                 AND g.created_at > now() - interval '13 hours'
                 AND EXISTS (SELECT FROM identity_links l
                             WHERE l.tenant_id = $1 AND l.provider_id = $2 AND l.user_id = g.user_id)
               LIMIT 10000";
    let ids: Vec<Uuid> = sqlx::query_scalar(sql).bind(tenant).bind(id.uuid()).fetch_all(tx.conn()).await?;
    Ok(ids.into_iter().map(GrantId::from).collect())
}

pub(in crate::oauth) async fn by_issuer(tx: &mut TenantTx, issuer: &str) -> Result<Option<Trusted>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id, jwks_uri, client_ids FROM identity_providers WHERE tenant_id = $1 AND issuer = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(issuer).fetch_optional(tx.conn()).await?)
}

/// Keeps a provider from being removed until the transaction ends; false where it is gone.
pub(in crate::oauth) async fn lock(tx: &mut TenantTx, id: IdentityProviderId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id FROM identity_providers WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE";
    Ok(sqlx::query(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?.is_some())
}

/// Notes that a provider vouched for somebody, once a minute.
pub(in crate::oauth) async fn used(tx: &mut TenantTx, id: IdentityProviderId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE identity_providers SET last_used_at = now()
               WHERE tenant_id = $1 AND id = $2
                 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// Whom a provider's subject was found to be; a row goes with the membership.
pub(in crate::oauth) async fn linked(
    tx: &mut TenantTx,
    provider: IdentityProviderId,
    subject: &str,
) -> Result<Option<UserId>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT user_id FROM identity_links WHERE tenant_id = $1 AND provider_id = $2 AND subject = $3";
    let query = sqlx::query_scalar(sql).bind(tenant).bind(provider.uuid()).bind(subject);
    let id: Option<Uuid> = query.fetch_optional(tx.conn()).await?;
    Ok(id.map(UserId::from))
}

/// Keeps whom a subject was found to be, and answers whom it is now; who was first stays.
pub(in crate::oauth) async fn link(
    tx: &mut TenantTx,
    provider: IdentityProviderId,
    subject: &str,
    user: UserId,
) -> Result<Option<UserId>> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO identity_links (tenant_id, provider_id, subject, user_id) VALUES ($1, $2, $3, $4)
               ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql).bind(tenant).bind(provider.uuid()).bind(subject).bind(user.uuid());
    query.execute(tx.conn()).await?;
    linked(tx, provider, subject).await
}

/// The member with a confirmed address.
pub(in crate::oauth) async fn member_with(tx: &mut TenantTx, email: &str) -> Result<Option<UserId>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT m.user_id FROM memberships m JOIN users u ON u.id = m.user_id
               WHERE m.tenant_id = $1 AND u.email = $2 AND u.verified_at IS NOT NULL";
    let id: Option<Uuid> = sqlx::query_scalar(sql).bind(tenant).bind(email).fetch_optional(tx.conn()).await?;
    Ok(id.map(UserId::from))
}

/// The confirmed address of an account.
pub(in crate::oauth) async fn address_of(tx: &mut TenantTx, user: UserId) -> Result<Option<String>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT u.email FROM memberships m JOIN users u ON u.id = m.user_id
               WHERE m.tenant_id = $1 AND m.user_id = $2 AND u.verified_at IS NOT NULL";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(user.uuid()).fetch_optional(tx.conn()).await?)
}

/// The grant by which a client acts for somebody because a provider vouches for both; a young one goes on, so that an hourly
/// assertion leaves two rows a day and not twenty-four. It is locked: nobody ends it before its token is made.
pub(in crate::oauth) async fn grant(
    tx: &mut TenantTx,
    user: UserId,
    client_id: &str,
    scope: &str,
) -> Result<GrantId> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id FROM oauth_grants
               WHERE tenant_id = $1 AND user_id = $2 AND client_id = $3 AND scope = $4 AND via = 'identity_provider'
                 AND revoked_at IS NULL AND created_at > now() - interval '12 hours'
               ORDER BY created_at DESC LIMIT 1 FOR UPDATE";
    let query = sqlx::query_scalar(sql).bind(tenant).bind(user.uuid()).bind(client_id).bind(scope);
    let young: Option<Uuid> = query.fetch_optional(tx.conn()).await?;
    if let Some(id) = young {
        return Ok(id.into());
    }
    let id = GrantId::new();
    let sql = "INSERT INTO oauth_grants (tenant_id, id, user_id, client_id, scope, via)
               VALUES ($1, $2, $3, $4, $5, 'identity_provider')";
    let query = sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(user.uuid()).bind(client_id).bind(scope);
    query.execute(tx.conn()).await?;
    Ok(id)
}
