//! Rows of memberships.

use time::OffsetDateTime;
use toolmesh_proto::ids::{TenantId, UserId};

use super::{Member, Role};
use crate::db::{TenantTx, UserTx};
use crate::error::Result;

/// What decides over everything a member does.
#[derive(sqlx::FromRow)]
pub(in crate::accounts) struct RoleRow {
    #[sqlx(try_from = "String")]
    pub role: Role,
    pub suspended_at: Option<OffsetDateTime>,
}

pub(super) async fn tenants_of(tx: &mut UserTx) -> Result<Vec<TenantId>> {
    let user = tx.user().uuid();
    let sql = "SELECT tenant_id FROM memberships WHERE user_id = $1";
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(sql).bind(user).fetch_all(tx.conn()).await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

pub(in crate::accounts) async fn role(tx: &mut TenantTx, user: UserId) -> Result<Option<RoleRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT role, suspended_at FROM memberships WHERE tenant_id = $1 AND user_id = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(user.uuid()).fetch_optional(tx.conn()).await?)
}

pub(super) async fn lock_role(tx: &mut TenantTx, user: UserId) -> Result<Option<RoleRow>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT role, suspended_at FROM memberships WHERE tenant_id = $1 AND user_id = $2 FOR NO KEY UPDATE";
    Ok(sqlx::query_as(sql).bind(tenant).bind(user.uuid()).fetch_optional(tx.conn()).await?)
}

/// Withdraws what a member may no longer offer.
pub(super) async fn withdraw_invitations_of(tx: &mut TenantTx, user: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE invitations SET revoked_at = now()
               WHERE tenant_id = $1 AND invited_by = $2 AND accepted_at IS NULL AND revoked_at IS NULL";
    sqlx::query(sql).bind(tenant).bind(user.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(in crate::accounts) async fn insert(tx: &mut TenantTx, user: UserId, role: Role) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO memberships (tenant_id, user_id, role) VALUES ($1, $2, $3)
               ON CONFLICT (tenant_id, user_id) DO NOTHING";
    sqlx::query(sql).bind(tenant).bind(user.uuid()).bind(role.as_str()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn list(tx: &mut TenantTx) -> Result<Vec<Member>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT m.user_id, u.email, u.name, m.role, m.created_at, m.suspended_at, s.name AS suspended_by
               FROM memberships m JOIN users u ON u.id = m.user_id LEFT JOIN users s ON s.id = m.suspended_by
               WHERE m.tenant_id = $1 ORDER BY m.created_at, u.email";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn one(tx: &mut TenantTx, user: UserId) -> Result<Option<Member>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT m.user_id, u.email, u.name, m.role, m.created_at, m.suspended_at, s.name AS suspended_by
               FROM memberships m JOIN users u ON u.id = m.user_id LEFT JOIN users s ON s.id = m.suspended_by
               WHERE m.tenant_id = $1 AND m.user_id = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(user.uuid()).fetch_optional(tx.conn()).await?)
}

pub(super) async fn delete(tx: &mut TenantTx, user: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM memberships WHERE tenant_id = $1 AND user_id = $2";
    sqlx::query(sql).bind(tenant).bind(user.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn set_role(tx: &mut TenantTx, user: UserId, role: Role) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE memberships SET role = $3 WHERE tenant_id = $1 AND user_id = $2";
    sqlx::query(sql).bind(tenant).bind(user.uuid()).bind(role.as_str()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn suspend(tx: &mut TenantTx, user: UserId, by: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE memberships SET suspended_at = now(), suspended_by = $3
               WHERE tenant_id = $1 AND user_id = $2 AND suspended_at IS NULL";
    sqlx::query(sql).bind(tenant).bind(user.uuid()).bind(by.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn resume(tx: &mut TenantTx, user: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE memberships SET suspended_at = NULL, suspended_by = NULL WHERE tenant_id = $1 AND user_id = $2";
    sqlx::query(sql).bind(tenant).bind(user.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// How many owners can act; to be asked while no other change of members can happen.
pub(super) async fn active_owners(tx: &mut TenantTx) -> Result<i64> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT count(*) FROM memberships WHERE tenant_id = $1 AND role = 'owner' AND suspended_at IS NULL";
    Ok(sqlx::query_scalar(sql).bind(tenant).fetch_one(tx.conn()).await?)
}
