//! Rows of the workspaces that ask for a second factor.

use std::collections::HashSet;

use time::OffsetDateTime;
use toolmesh_proto::ids::{TenantId, UserId};
use uuid::Uuid;

use super::{Asking, Rule};
use crate::db::{GlobalTx, TenantTx, UserTx};
use crate::error::Result;

/// Held alone while a workspace's rule changes, and shared while a person's factors do, so that neither overlooks the other.
pub(super) async fn lock_rules(tx: &mut TenantTx) -> Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('toolmesh second factor rules'))")
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(in crate::accounts::factors) async fn hold_rules(tx: &mut UserTx) -> Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock_shared(hashtext('toolmesh second factor rules'))")
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn rule(tx: &mut TenantTx) -> Result<Option<Rule>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT r.required_from, r.set_at, u.name AS set_by FROM second_factor_rules r
               LEFT JOIN users u ON u.id = r.set_by WHERE r.tenant_id = $1";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_optional(tx.conn()).await?)
}

pub(super) async fn set_rule(
    tx: &mut TenantTx,
    required_from: OffsetDateTime,
    enforced: bool,
    by: UserId,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO second_factor_rules (tenant_id, required_from, enforced, set_by) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant_id) DO UPDATE SET required_from = excluded.required_from, enforced = excluded.enforced,
           set_by = excluded.set_by, set_at = now()",
    )
    .bind(tenant)
    .bind(required_from)
    .bind(enforced)
    .bind(by.uuid())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn delete_rule(tx: &mut TenantTx) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM second_factor_rules WHERE tenant_id = $1";
    Ok(sqlx::query(sql).bind(tenant).execute(tx.conn()).await?.rows_affected() > 0)
}

/// Whether nodes leave out who has no factor.
pub(super) async fn is_enforced(tx: &mut TenantTx) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT EXISTS (SELECT FROM second_factor_rules WHERE tenant_id = $1 AND enforced)";
    Ok(sqlx::query_scalar(sql).bind(tenant).fetch_one(tx.conn()).await?)
}

/// Whether the date has come and this person has no factor.
pub(super) async fn stops(tx: &mut TenantTx, user: UserId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT EXISTS (SELECT FROM second_factor_rules WHERE tenant_id = $1 AND required_from <= now())
                 AND NOT EXISTS (SELECT FROM authenticator_apps WHERE user_id = $2)
                 AND NOT EXISTS (SELECT FROM passkeys WHERE user_id = $2)";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(user.uuid()).fetch_one(tx.conn()).await?)
}

/// The members who have a second factor.
pub(super) async fn holders(tx: &mut TenantTx) -> Result<HashSet<UserId>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT m.user_id FROM memberships m WHERE m.tenant_id = $1
                 AND (EXISTS (SELECT FROM authenticator_apps a WHERE a.user_id = m.user_id)
                   OR EXISTS (SELECT FROM passkeys p WHERE p.user_id = m.user_id))";
    let ids: Vec<Uuid> = sqlx::query_scalar(sql).bind(tenant).fetch_all(tx.conn()).await?;
    Ok(ids.into_iter().map(UserId::from).collect())
}

/// The person's workspaces that ask for a factor, now or from a date on.
pub(in crate::accounts::factors) async fn asking(tx: &mut UserTx) -> Result<Vec<Asking>> {
    let user = tx.user().uuid();
    let sql = "SELECT t.slug, t.name, r.required_from FROM second_factor_rules r
               JOIN memberships m ON m.tenant_id = r.tenant_id JOIN tenants t ON t.id = r.tenant_id
               WHERE m.user_id = $1 ORDER BY r.required_from, t.slug";
    Ok(sqlx::query_as(sql).bind(user).fetch_all(tx.conn()).await?)
}

/// A workspace that requires its provider of everybody but this person and perhaps others, if there is one: they may come in
/// without it only by a second factor.
pub(in crate::accounts::factors) async fn breaks_glass_of(tx: &mut UserTx) -> Result<Option<String>> {
    let user = tx.user().uuid();
    let sql = "SELECT t.name FROM sign_in_break_glass b JOIN sign_in_providers p ON p.tenant_id = b.tenant_id
               JOIN memberships m ON m.tenant_id = b.tenant_id AND m.user_id = b.user_id
               JOIN tenants t ON t.id = b.tenant_id
               WHERE b.user_id = $1 AND p.enforced_at IS NOT NULL AND m.role = 'owner' AND m.suspended_at IS NULL
               ORDER BY t.name LIMIT 1";
    Ok(sqlx::query_scalar(sql).bind(user).fetch_optional(tx.conn()).await?)
}

/// Workspaces whose date has come and whose nodes do not know yet.
pub(super) async fn due(tx: &mut GlobalTx) -> Result<Vec<TenantId>> {
    let sql = "SELECT tenant_id FROM second_factor_rules WHERE NOT enforced AND required_from <= now()
               ORDER BY required_from LIMIT 500";
    let ids: Vec<Uuid> = sqlx::query_scalar(sql).fetch_all(tx.conn()).await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

/// Enforces a rule whose date has come. False where somebody was faster or changed it.
pub(super) async fn enforce(tx: &mut TenantTx) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE second_factor_rules SET enforced = true
               WHERE tenant_id = $1 AND NOT enforced AND required_from <= now()";
    Ok(sqlx::query(sql).bind(tenant).execute(tx.conn()).await?.rows_affected() > 0)
}

/// Tells the nodes of the workspaces that enforce a rule for this person; with the transaction's commit.
pub(in crate::accounts::factors) async fn renew(tx: &mut UserTx) -> Result<()> {
    let user = tx.user().uuid();
    sqlx::query("SELECT renew_tenants_asking_for_a_factor($1)").bind(user).execute(tx.conn()).await?;
    Ok(())
}
