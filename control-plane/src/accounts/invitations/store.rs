//! Rows of invitations.

use time::OffsetDateTime;
use toolmesh_proto::ids::{InvitationId, UserId};

use super::Invitation;
use crate::accounts::members::Role;
use crate::db::TenantTx;
use crate::error::Result;

pub(super) async fn insert(
    tx: &mut TenantTx,
    email: &str,
    role: Role,
    token_hash: &[u8],
    by: UserId,
    expires_at: OffsetDateTime,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO invitations (tenant_id, id, email, role, token_hash, invited_by, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(tenant)
    .bind(InvitationId::new().uuid())
    .bind(email)
    .bind(role.as_str())
    .bind(token_hash)
    .bind(by.uuid())
    .bind(expires_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn open(tx: &mut TenantTx, token_hash: &[u8]) -> Result<Option<Invitation>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT i.id, i.email, i.role, u.name AS invited_by, u.email AS invited_by_email,
                 i.created_at, i.expires_at
               FROM invitations i JOIN users u ON u.id = i.invited_by
               WHERE i.tenant_id = $1 AND i.token_hash = $2
                 AND i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > now()";
    Ok(sqlx::query_as(sql).bind(tenant).bind(token_hash).fetch_optional(tx.conn()).await?)
}

/// Open and expired ones that were neither accepted nor revoked, newest first.
pub(crate) async fn pending(tx: &mut TenantTx) -> Result<Vec<Invitation>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT i.id, i.email, i.role, u.name AS invited_by, u.email AS invited_by_email,
                 i.created_at, i.expires_at
               FROM invitations i JOIN users u ON u.id = i.invited_by
               WHERE i.tenant_id = $1 AND i.accepted_at IS NULL AND i.revoked_at IS NULL
               ORDER BY i.created_at DESC LIMIT 500";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

/// An invitation that was neither accepted nor revoked, expired or not.
pub(super) async fn by_id(tx: &mut TenantTx, id: InvitationId) -> Result<Option<Invitation>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT i.id, i.email, i.role, u.name AS invited_by, u.email AS invited_by_email,
                 i.created_at, i.expires_at
               FROM invitations i JOIN users u ON u.id = i.invited_by
               WHERE i.tenant_id = $1 AND i.id = $2 AND i.accepted_at IS NULL AND i.revoked_at IS NULL";
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

/// The addresses that a member's open invitations are for.
pub(crate) async fn open_by(tx: &mut TenantTx, inviter: UserId) -> Result<Vec<String>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT email FROM invitations
               WHERE tenant_id = $1 AND invited_by = $2 AND accepted_at IS NULL AND revoked_at IS NULL
                 AND expires_at > now() ORDER BY email";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(inviter.uuid()).fetch_all(tx.conn()).await?)
}

/// What limits are judged by.
#[derive(sqlx::FromRow)]
pub(super) struct Counts {
    pub open: i64,
    pub of_today: i64,
}

/// Counts without what is open for one address, which another invitation of it replaces.
pub(super) async fn counts_beside(tx: &mut TenantTx, email: &str) -> Result<Counts> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT count(*) FILTER (WHERE accepted_at IS NULL AND revoked_at IS NULL AND expires_at > now() AND email <> $2)
                 AS open, count(*) FILTER (WHERE created_at > now() - interval '1 day') AS of_today
               FROM invitations WHERE tenant_id = $1";
    Ok(sqlx::query_as(sql).bind(tenant).bind(email).fetch_one(tx.conn()).await?)
}

/// False if somebody was faster.
pub(super) async fn mark_accepted(tx: &mut TenantTx, id: InvitationId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE invitations SET accepted_at = now()
               WHERE tenant_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > now()";
    Ok(sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?.rows_affected() == 1)
}

pub(super) async fn revoke(tx: &mut TenantTx, id: InvitationId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE invitations SET revoked_at = now()
               WHERE tenant_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL";
    Ok(sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?.rows_affected() == 1)
}

pub(super) async fn revoke_by_email(tx: &mut TenantTx, email: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE invitations SET revoked_at = now()
               WHERE tenant_id = $1 AND email = $2 AND accepted_at IS NULL AND revoked_at IS NULL";
    sqlx::query(sql).bind(tenant).bind(email).execute(tx.conn()).await?;
    Ok(())
}
