//! Rows of connectors of a workspace's own, of their versions, and of imports.

use sqlx::types::Json;
use time::OffsetDateTime;
use toolmesh_proto::ids::{ImportId, PrivateConnectorId, UserId};

use super::imports::Picked;
use super::{PrivateConnector, Saved, Standing, Version};
use crate::connectors::openapi::Outline;
use crate::db::TenantTx;
use crate::error::Result;

/// All of them, or one.
pub(super) async fn list(
    tx: &mut TenantTx,
    only: Option<PrivateConnectorId>,
) -> Result<Vec<PrivateConnector>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT p.id, p.name, v.title, v.number, v.hash, v.tools, v.created_at AS saved_at,
                 u.name AS saved_by, u.email AS saved_by_email,
                 (SELECT count(*) FROM installations i
                  WHERE i.tenant_id = p.tenant_id AND i.private_connector_id = p.id) AS installations
               FROM private_connectors p
               JOIN LATERAL (SELECT * FROM private_connector_versions v
                             WHERE v.tenant_id = p.tenant_id AND v.connector_id = p.id
                             ORDER BY v.number DESC LIMIT 1) v ON true
               JOIN users u ON u.id = v.created_by
               WHERE p.tenant_id = $1 AND ($2::uuid IS NULL OR p.id = $2) ORDER BY p.name";
    let query = sqlx::query_as(sql).bind(tenant).bind(only.map(PrivateConnectorId::uuid));
    Ok(query.fetch_all(tx.conn()).await?)
}

pub(super) async fn versions(tx: &mut TenantTx, id: PrivateConnectorId) -> Result<Vec<Version>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT v.number, v.hash, v.title, v.tools, v.created_at AS saved_at,
                 u.name AS saved_by, u.email AS saved_by_email
               FROM private_connector_versions v JOIN users u ON u.id = v.created_by
               WHERE v.tenant_id = $1 AND v.connector_id = $2 ORDER BY v.number DESC";
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_all(tx.conn()).await?)
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    #[sqlx(flatten)]
    version: Version,
    source: String,
}

/// A version with its text; the newest without a number.
pub(super) async fn source(
    tx: &mut TenantTx,
    id: PrivateConnectorId,
    number: Option<i32>,
) -> Result<Option<(Version, String)>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT v.number, v.hash, v.title, v.tools, v.created_at AS saved_at, v.source,
                 u.name AS saved_by, u.email AS saved_by_email
               FROM private_connector_versions v JOIN users u ON u.id = v.created_by
               WHERE v.tenant_id = $1 AND v.connector_id = $2 AND ($3::integer IS NULL OR v.number = $3)
               ORDER BY v.number DESC LIMIT 1";
    let query = sqlx::query_as(sql).bind(tenant).bind(id.uuid()).bind(number);
    let row: Option<VersionRow> = query.fetch_optional(tx.conn()).await?;
    Ok(row.map(|row| (row.version, row.source)))
}

pub(super) async fn standing(tx: &mut TenantTx, id: PrivateConnectorId) -> Result<Vec<Standing>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id, name, connector_hash FROM installations
               WHERE tenant_id = $1 AND private_connector_id = $2 ORDER BY name";
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_all(tx.conn()).await?)
}

/// Locks the tenant's row too, so that two at once cannot pass the limit together.
pub(super) async fn count(tx: &mut TenantTx) -> Result<i64> {
    let tenant = tx.tenant().uuid();
    sqlx::query("SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE")
        .bind(tenant)
        .execute(tx.conn())
        .await?;
    let sql = "SELECT count(*) FROM private_connectors WHERE tenant_id = $1";
    Ok(sqlx::query_scalar(sql).bind(tenant).fetch_one(tx.conn()).await?)
}

/// The connector's name, with its row locked until the transaction ends.
pub(super) async fn lock(tx: &mut TenantTx, id: PrivateConnectorId) -> Result<Option<String>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT name FROM private_connectors WHERE tenant_id = $1 AND id = $2 FOR UPDATE";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    id: PrivateConnectorId,
    name: &str,
    by: UserId,
) -> std::result::Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO private_connectors (tenant_id, id, name, created_by) VALUES ($1, $2, $3, $4)";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(name).bind(by.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn insert_version(
    tx: &mut TenantTx,
    id: PrivateConnectorId,
    number: i32,
    saved: &Saved<'_>,
    by: UserId,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO private_connector_versions (tenant_id, connector_id, number, hash, title, tools, source, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(number)
    .bind(&saved.hash)
    .bind(&saved.title)
    .bind(saved.tools)
    .bind(saved.source)
    .bind(by.uuid())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets the oldest versions beyond so many, but none that an installation stands on.
pub(super) async fn prune_versions(tx: &mut TenantTx, id: PrivateConnectorId, keep: i64) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "DELETE FROM private_connector_versions v
         WHERE v.tenant_id = $1 AND v.connector_id = $2
           AND v.number NOT IN (SELECT number FROM private_connector_versions
                                WHERE tenant_id = $1 AND connector_id = $2 ORDER BY number DESC LIMIT $3)
           AND v.hash NOT IN (SELECT connector_hash FROM installations
                              WHERE tenant_id = $1 AND private_connector_id = $2)",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(keep)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn delete(tx: &mut TenantTx, id: PrivateConnectorId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM private_connectors WHERE tenant_id = $1 AND id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// An import as it is stored, without the document.
#[derive(sqlx::FromRow)]
pub(super) struct ImportRow {
    pub origin: String,
    pub outline: Json<Outline>,
    pub picked: Json<Picked>,
    pub created_at: OffsetDateTime,
}

pub(super) async fn insert_import(
    tx: &mut TenantTx,
    id: ImportId,
    origin: &str,
    document: &str,
    outline: &Outline,
    picked: &Picked,
    by: UserId,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO openapi_imports (tenant_id, id, origin, document, outline, picked, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(origin)
    .bind(document)
    .bind(Json(outline))
    .bind(Json(picked))
    .bind(by.uuid())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn import(tx: &mut TenantTx, id: ImportId) -> Result<Option<ImportRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT origin, outline, picked, created_at FROM openapi_imports
               WHERE tenant_id = $1 AND id = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

/// What is picked, with the row locked until the transaction ends.
pub(super) async fn lock_import(tx: &mut TenantTx, id: ImportId) -> Result<Option<Picked>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT picked FROM openapi_imports WHERE tenant_id = $1 AND id = $2 FOR UPDATE";
    let picked: Option<Json<Picked>> =
        sqlx::query_scalar(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?;
    Ok(picked.map(|picked| picked.0))
}

pub(super) async fn set_picked(tx: &mut TenantTx, id: ImportId, picked: &Picked) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE openapi_imports SET picked = $3 WHERE tenant_id = $1 AND id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(Json(picked)).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn document(tx: &mut TenantTx, id: ImportId) -> Result<Option<(String, String)>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT origin, document FROM openapi_imports WHERE tenant_id = $1 AND id = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

/// Forgets imports that nobody finished in a week, and the oldest beyond so many.
pub(super) async fn prune_imports(tx: &mut TenantTx, keep: i64) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "DELETE FROM openapi_imports
         WHERE tenant_id = $1 AND (created_at < now() - interval '7 days'
           OR id NOT IN (SELECT id FROM openapi_imports WHERE tenant_id = $1 ORDER BY created_at DESC LIMIT $2))",
    )
    .bind(tenant)
    .bind(keep)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn delete_import(tx: &mut TenantTx, id: ImportId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM openapi_imports WHERE tenant_id = $1 AND id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// The text that an installation's connector was compiled from.
pub(super) async fn text_of(tx: &mut TenantTx, hash: &str) -> Result<Option<String>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT source FROM connectors WHERE tenant_id = $1 AND hash = $2";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(hash).fetch_optional(tx.conn()).await?)
}
