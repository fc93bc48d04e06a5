//! Rows of groups and of who is in them.

use toolmesh_proto::ids::{GroupId, UserId};
use uuid::Uuid;

use super::{Group, GroupMember};
use crate::db::TenantTx;
use crate::error::Result;

pub(crate) async fn list(tx: &mut TenantTx) -> Result<Vec<Group>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT g.id, g.name, g.external_name, g.created_at,
                 (SELECT count(*) FROM group_members m WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id) AS members
               FROM groups g WHERE g.tenant_id = $1 ORDER BY lower(g.name), g.id";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn get(tx: &mut TenantTx, id: GroupId) -> Result<Option<Group>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT g.id, g.name, g.external_name, g.created_at,
                 (SELECT count(*) FROM group_members m WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id) AS members
               FROM groups g WHERE g.tenant_id = $1 AND g.id = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

/// Of all groups of the workspace, by user and group.
pub(crate) async fn members(tx: &mut TenantTx) -> Result<Vec<GroupMember>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT group_id, user_id, source = 'sign_in' AS by_sign_in FROM group_members
               WHERE tenant_id = $1 ORDER BY user_id, group_id";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn names_of(tx: &mut TenantTx, user: UserId) -> Result<Vec<String>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT g.name FROM group_members m JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
               WHERE m.tenant_id = $1 AND m.user_id = $2 ORDER BY lower(g.name)";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(user.uuid()).fetch_all(tx.conn()).await?)
}

pub(super) async fn count(tx: &mut TenantTx) -> Result<i64> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT count(*) FROM groups WHERE tenant_id = $1";
    Ok(sqlx::query_scalar(sql).bind(tenant).fetch_one(tx.conn()).await?)
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    id: GroupId,
    name: &str,
) -> std::result::Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO groups (tenant_id, id, name) VALUES ($1, $2, $3)";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(name).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn set_name(
    tx: &mut TenantTx,
    id: GroupId,
    name: &str,
) -> std::result::Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE groups SET name = $3 WHERE tenant_id = $1 AND id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(name).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn set_external_name(
    tx: &mut TenantTx,
    id: GroupId,
    name: Option<&str>,
) -> std::result::Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE groups SET external_name = $3 WHERE tenant_id = $1 AND id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(name).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn delete(tx: &mut TenantTx, id: GroupId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM groups WHERE tenant_id = $1 AND id = $2";
    Ok(sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?.rows_affected() == 1)
}

/// By hand, which outlives what an identity provider says.
pub(super) async fn add(tx: &mut TenantTx, id: GroupId, user: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO group_members (tenant_id, group_id, user_id, source) VALUES ($1, $2, $3, 'manual')
               ON CONFLICT (tenant_id, group_id, user_id) DO UPDATE SET source = 'manual'";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(user.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn take_out(tx: &mut TenantTx, id: GroupId, user: UserId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM group_members WHERE tenant_id = $1 AND group_id = $2 AND user_id = $3";
    let query = sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(user.uuid());
    Ok(query.execute(tx.conn()).await?.rows_affected() == 1)
}

/// Takes out whom an identity provider put in.
pub(super) async fn remove_signed_in(tx: &mut TenantTx, id: GroupId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM group_members WHERE tenant_id = $1 AND group_id = $2 AND source = 'sign_in'";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// True if anybody was put in or taken out.
pub(super) async fn set_signed_in(tx: &mut TenantTx, user: UserId, names: &[String]) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id FROM groups WHERE tenant_id = $1 AND external_name = ANY($2)";
    let named: Vec<Uuid> = sqlx::query_scalar(sql).bind(tenant).bind(names).fetch_all(tx.conn()).await?;
    let sql = "DELETE FROM group_members
               WHERE tenant_id = $1 AND user_id = $2 AND source = 'sign_in' AND group_id <> ALL($3)";
    let query = sqlx::query(sql).bind(tenant).bind(user.uuid()).bind(&named);
    let out = query.execute(tx.conn()).await?.rows_affected();
    let sql = "INSERT INTO group_members (tenant_id, group_id, user_id, source)
               SELECT $1, id, $2, 'sign_in' FROM unnest($3::uuid[]) AS named (id)
               ON CONFLICT (tenant_id, group_id, user_id) DO NOTHING";
    let query = sqlx::query(sql).bind(tenant).bind(user.uuid()).bind(&named);
    let put_in = query.execute(tx.conn()).await?.rows_affected();
    Ok(out + put_in > 0)
}
