//! Rows of tenants.

use toolmesh_proto::ids::{TenantId, UserId};
use uuid::Uuid;

use super::access::Access;
use super::endpoint::Endpoint;
use super::{OwnWorkspace, Tenant};
use crate::db::{GlobalTx, TenantTx, UserTx};
use crate::error::Result;

/// Whether a slug is somebody's, or was.
pub(super) async fn slug_is_taken(tx: &mut GlobalTx, slug: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM tenants WHERE slug = $1) OR EXISTS (SELECT FROM retired_slugs WHERE slug = $1)";
    Ok(sqlx::query_scalar(sql).bind(slug).fetch_one(tx.conn()).await?)
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    slug: &str,
    name: &str,
) -> std::result::Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query("INSERT INTO tenants (id, slug, name) VALUES ($1, $2, $3)")
        .bind(tenant)
        .bind(slug)
        .bind(name)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn by_slug(tx: &mut GlobalTx, slug: &str) -> Result<Option<Tenant>> {
    let sql = "SELECT id, slug, name, revision, created_at FROM tenants WHERE slug = $1";
    Ok(sqlx::query_as(sql).bind(slug).fetch_optional(tx.conn()).await?)
}

pub(crate) async fn by_id(tx: &mut TenantTx) -> Result<Option<Tenant>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id, slug, name, revision, created_at FROM tenants WHERE id = $1";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_optional(tx.conn()).await?)
}

pub(super) async fn of_user(tx: &mut UserTx) -> Result<Vec<OwnWorkspace>> {
    let user = tx.user().uuid();
    let sql = "SELECT t.id, t.slug, t.name, t.revision, t.created_at, m.role,
                 m.suspended_at IS NOT NULL AS suspended
               FROM memberships m JOIN tenants t ON t.id = m.tenant_id WHERE m.user_id = $1 ORDER BY lower(t.name), t.slug";
    Ok(sqlx::query_as(sql).bind(user).fetch_all(tx.conn()).await?)
}

/// How many workspaces somebody owns, their row locked: of two that are made at once, one waits and is counted by the other.
pub(super) async fn lock_and_count_owned(tx: &mut TenantTx, owner: UserId) -> Result<i64> {
    sqlx::query("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE")
        .bind(owner.uuid())
        .execute(tx.conn())
        .await?;
    let act_as = "SELECT set_config('app.user', $1, true)";
    sqlx::query(act_as).bind(owner.to_string()).execute(tx.conn()).await?;
    let sql = "SELECT count(*) FROM memberships WHERE user_id = $1 AND role = 'owner'";
    let owned = sqlx::query_scalar(sql).bind(owner.uuid()).fetch_one(tx.conn()).await?;
    sqlx::query(act_as).bind("").execute(tx.conn()).await?;
    Ok(owned)
}

pub(super) async fn set_name(tx: &mut TenantTx, name: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query("UPDATE tenants SET name = $2 WHERE id = $1")
        .bind(tenant)
        .bind(name)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Every tenant's id and revision, for the stream to the nodes.
pub(crate) async fn heads(tx: &mut GlobalTx) -> Result<Vec<(TenantId, u64)>> {
    let rows: Vec<(Uuid, i64)> =
        sqlx::query_as("SELECT id, revision FROM tenants ORDER BY id").fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|(id, revision)| (id.into(), revision.cast_unsigned())).collect())
}

pub(super) async fn access(tx: &mut TenantTx) -> Result<Access> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT writes_need_scope, strict_when_cut_off FROM tenants WHERE id = $1";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_optional(tx.conn()).await?.unwrap_or_default())
}

pub(super) async fn set_writes_need_scope(tx: &mut TenantTx, needed: bool) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE tenants SET writes_need_scope = $2 WHERE id = $1";
    sqlx::query(sql).bind(tenant).bind(needed).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn set_strict_when_cut_off(tx: &mut TenantTx, strict: bool) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE tenants SET strict_when_cut_off = $2 WHERE id = $1";
    sqlx::query(sql).bind(tenant).bind(strict).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn endpoint(tx: &mut TenantTx) -> Result<Endpoint> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT browser_origins, tenant_per_minute, caller_per_minute, api_key_per_minute, openai_apps_challenge
               FROM endpoint_settings WHERE tenant_id = $1";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_optional(tx.conn()).await?.unwrap_or_default())
}

/// Makes the row if there is none and holds it, so that of two changes neither undoes the other.
pub(super) async fn lock_endpoint(tx: &mut TenantTx, by: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO endpoint_settings (tenant_id, changed_by) VALUES ($1, $2) ON CONFLICT (tenant_id) DO NOTHING";
    sqlx::query(sql).bind(tenant).bind(by.uuid()).execute(tx.conn()).await?;
    sqlx::query("SELECT FROM endpoint_settings WHERE tenant_id = $1 FOR UPDATE")
        .bind(tenant)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn set_endpoint(tx: &mut TenantTx, endpoint: &Endpoint, by: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql =
        "UPDATE endpoint_settings SET browser_origins = $2, tenant_per_minute = $3, caller_per_minute = $4,
                 api_key_per_minute = $5, openai_apps_challenge = $6, changed_by = $7, changed_at = now()
               WHERE tenant_id = $1";
    sqlx::query(sql)
        .bind(tenant)
        .bind(&endpoint.browser_origins)
        .bind(endpoint.limits.tenant_per_minute)
        .bind(endpoint.limits.caller_per_minute)
        .bind(endpoint.limits.api_key_per_minute)
        .bind(&endpoint.openai_apps_challenge)
        .bind(by.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}
