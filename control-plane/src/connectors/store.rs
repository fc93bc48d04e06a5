//! Rows of connectors, installations and switched-off tools.

use std::collections::{BTreeSet, HashMap};

use time::OffsetDateTime;
use toolmesh_proto::ids::{InstallationId, PrivateConnectorId, UserId};
use uuid::Uuid;

use super::aliases::Aliased;
use crate::db::TenantTx;
use crate::error::Result;

#[derive(sqlx::FromRow)]
pub(super) struct InstallationRow {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: InstallationId,
    pub name: String,
    pub base_url: String,
    pub connector_hash: String,
    pub compiled: Vec<u8>,
    pub built_in: bool,
    pub private_connector_id: Option<Uuid>,
    pub created_at: OffsetDateTime,
    pub created_by: String,
    pub created_by_email: String,
    pub exposure: String,
    pub bare_names: bool,
    pub timeout_seconds: i32,
    pub personal: bool,
}

pub(super) async fn count(tx: &mut TenantTx) -> Result<usize> {
    let tenant = tx.tenant().uuid();
    // Locks the tenant's row, so that two at once cannot pass the limit together.
    sqlx::query("SELECT FROM tenants WHERE id = $1 FOR NO KEY UPDATE")
        .bind(tenant)
        .execute(tx.conn())
        .await?;
    let sql = "SELECT count(*) FROM installations WHERE tenant_id = $1";
    let count: i64 = sqlx::query_scalar(sql).bind(tenant).fetch_one(tx.conn()).await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// `named` is the hash and the connector's own name.
pub(super) async fn insert_connector(
    tx: &mut TenantTx,
    named: (&str, &str),
    source: &str,
    compiled: &[u8],
    built_in: bool,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO connectors (tenant_id, hash, name, source, compiled, built_in) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant_id, hash) DO NOTHING",
    )
    .bind(tenant)
    .bind(named.0)
    .bind(named.1)
    .bind(source)
    .bind(compiled)
    .bind(built_in)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What an installation begins with.
pub(super) struct NewInstallation<'a> {
    pub name: &'a str,
    pub hash: &'a str,
    pub base_url: &'a str,
    pub exposure: &'a str,
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    id: InstallationId,
    new: NewInstallation<'_>,
    private: Option<PrivateConnectorId>,
    by: UserId,
) -> std::result::Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO installations
           (tenant_id, id, name, connector_hash, base_url, created_by, private_connector_id, exposure)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(new.name)
    .bind(new.hash)
    .bind(new.base_url)
    .bind(by.uuid())
    .bind(private.map(PrivateConnectorId::uuid))
    .bind(new.exposure)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The installation's name, with its row locked until the transaction ends.
pub(super) async fn lock(tx: &mut TenantTx, id: InstallationId) -> Result<Option<String>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT name FROM installations WHERE tenant_id = $1 AND id = $2 FOR UPDATE";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

pub(super) async fn set_connector(tx: &mut TenantTx, id: InstallationId, hash: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE installations SET connector_hash = $3 WHERE tenant_id = $1 AND id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(hash).execute(tx.conn()).await?;
    Ok(())
}

/// Deletes a connector that no installation stands on any more.
pub(super) async fn delete_unused(tx: &mut TenantTx, hash: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM connectors WHERE tenant_id = $1 AND hash = $2
               AND NOT EXISTS (SELECT FROM installations WHERE tenant_id = $1 AND connector_hash = $2)";
    sqlx::query(sql).bind(tenant).bind(hash).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn all(tx: &mut TenantTx) -> Result<Vec<InstallationRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT i.id, i.name, i.base_url, i.connector_hash, c.compiled, c.built_in, i.private_connector_id, i.created_at,
                 u.name AS created_by, u.email AS created_by_email, i.exposure, i.bare_names, i.timeout_seconds,
                 i.personal
               FROM installations i
               JOIN connectors c ON c.tenant_id = i.tenant_id AND c.hash = i.connector_hash
               JOIN users u ON u.id = i.created_by
               WHERE i.tenant_id = $1 ORDER BY i.name";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn get(tx: &mut TenantTx, id: InstallationId) -> Result<Option<InstallationRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT i.id, i.name, i.base_url, i.connector_hash, c.compiled, c.built_in, i.private_connector_id, i.created_at,
                 u.name AS created_by, u.email AS created_by_email, i.exposure, i.bare_names, i.timeout_seconds,
                 i.personal
               FROM installations i
               JOIN connectors c ON c.tenant_id = i.tenant_id AND c.hash = i.connector_hash
               JOIN users u ON u.id = i.created_by
               WHERE i.tenant_id = $1 AND i.id = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

/// Switched-off tools of all installations, or of one.
pub(super) async fn disabled_tools(
    tx: &mut TenantTx,
    only: Option<InstallationId>,
) -> Result<HashMap<InstallationId, BTreeSet<String>>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT installation_id, tool FROM disabled_tools
               WHERE tenant_id = $1 AND ($2::uuid IS NULL OR installation_id = $2)";
    let query = sqlx::query_as(sql).bind(tenant).bind(only.map(InstallationId::uuid));
    Ok(by_installation(query.fetch_all(tx.conn()).await?))
}

pub(super) async fn set_tools(
    tx: &mut TenantTx,
    id: InstallationId,
    tools: &[String],
    enabled: bool,
    by: UserId,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let query = if enabled {
        sqlx::query(
            "DELETE FROM disabled_tools WHERE tenant_id = $1 AND installation_id = $2 AND tool = ANY($3)",
        )
        .bind(tenant)
        .bind(id.uuid())
        .bind(tools)
    } else {
        sqlx::query(
            "INSERT INTO disabled_tools (tenant_id, installation_id, tool, disabled_by)
             SELECT $1, $2, tool, $4 FROM unnest($3::text[]) AS tool
             ON CONFLICT (tenant_id, installation_id, tool) DO NOTHING",
        )
        .bind(tenant)
        .bind(id.uuid())
        .bind(tools)
        .bind(by.uuid())
    };
    query.execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn set_exposure(tx: &mut TenantTx, id: InstallationId, exposure: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query("UPDATE installations SET exposure = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(id.uuid())
        .bind(exposure)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn set_personal(tx: &mut TenantTx, id: InstallationId, personal: bool) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query("UPDATE installations SET personal = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(id.uuid())
        .bind(personal)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Promoted tools of all installations, or of one.
pub(super) async fn promoted_tools(
    tx: &mut TenantTx,
    only: Option<InstallationId>,
) -> Result<HashMap<InstallationId, BTreeSet<String>>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT installation_id, tool FROM promoted_tools
               WHERE tenant_id = $1 AND ($2::uuid IS NULL OR installation_id = $2)";
    let query = sqlx::query_as(sql).bind(tenant).bind(only.map(InstallationId::uuid));
    Ok(by_installation(query.fetch_all(tx.conn()).await?))
}

pub(super) async fn set_promoted(
    tx: &mut TenantTx,
    id: InstallationId,
    tool: &str,
    promoted: bool,
    by: UserId,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let query = if promoted {
        sqlx::query(
            "INSERT INTO promoted_tools (tenant_id, installation_id, tool, promoted_by) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant_id, installation_id, tool) DO NOTHING",
        )
        .bind(tenant)
        .bind(id.uuid())
        .bind(tool)
        .bind(by.uuid())
    } else {
        sqlx::query("DELETE FROM promoted_tools WHERE tenant_id = $1 AND installation_id = $2 AND tool = $3")
            .bind(tenant)
            .bind(id.uuid())
            .bind(tool)
    };
    query.execute(tx.conn()).await?;
    Ok(())
}

fn by_installation(rows: Vec<(Uuid, String)>) -> HashMap<InstallationId, BTreeSet<String>> {
    let mut tools: HashMap<InstallationId, BTreeSet<String>> = HashMap::new();
    for (installation, tool) in rows {
        tools.entry(installation.into()).or_default().insert(tool);
    }
    tools
}

pub(super) async fn set_base_url(tx: &mut TenantTx, id: InstallationId, base_url: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query("UPDATE installations SET base_url = $3 WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(id.uuid())
        .bind(base_url)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn delete(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query("DELETE FROM installations WHERE tenant_id = $1 AND id = $2")
        .bind(tenant)
        .bind(id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Everything that was set of a tool moves to the name that it has now.
pub(super) async fn rename_tool(tx: &mut TenantTx, id: InstallationId, from: &str, to: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    for sql in [
        "UPDATE tool_overrides SET tool = $4 WHERE tenant_id = $1 AND installation_id = $2 AND tool = $3
           AND NOT EXISTS (SELECT FROM tool_overrides WHERE tenant_id = $1 AND installation_id = $2 AND tool = $4)",
        "UPDATE disabled_tools SET tool = $4 WHERE tenant_id = $1 AND installation_id = $2 AND tool = $3
           AND NOT EXISTS (SELECT FROM disabled_tools WHERE tenant_id = $1 AND installation_id = $2 AND tool = $4)",
        "UPDATE promoted_tools SET tool = $4 WHERE tenant_id = $1 AND installation_id = $2 AND tool = $3
           AND NOT EXISTS (SELECT FROM promoted_tools WHERE tenant_id = $1 AND installation_id = $2 AND tool = $4)",
        "UPDATE tool_aliases SET tool = $4 WHERE tenant_id = $1 AND installation_id = $2 AND tool = $3",
    ] {
        sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(from).bind(to).execute(tx.conn()).await?;
    }
    Ok(())
}

/// Forgets what was set of a tool that is gone for good.
pub(super) async fn forget_tool(tx: &mut TenantTx, id: InstallationId, tool: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    for sql in [
        "DELETE FROM tool_overrides WHERE tenant_id = $1 AND installation_id = $2 AND tool = $3",
        "DELETE FROM disabled_tools WHERE tenant_id = $1 AND installation_id = $2 AND tool = $3",
        "DELETE FROM promoted_tools WHERE tenant_id = $1 AND installation_id = $2 AND tool = $3",
        "DELETE FROM tool_aliases WHERE tenant_id = $1 AND installation_id = $2 AND tool = $3",
    ] {
        sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(tool).execute(tx.conn()).await?;
    }
    Ok(())
}

pub(super) async fn aliases(tx: &mut TenantTx) -> Result<Vec<Aliased>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT alias, installation_id, tool FROM tool_aliases WHERE tenant_id = $1 ORDER BY alias";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn set_alias(tx: &mut TenantTx, aliased: &Aliased, by: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO tool_aliases (tenant_id, alias, installation_id, tool, chosen_by) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (tenant_id, alias) DO UPDATE SET installation_id = excluded.installation_id,
                 tool = excluded.tool, chosen_by = excluded.chosen_by, chosen_at = now()";
    sqlx::query(sql)
        .bind(tenant)
        .bind(&aliased.alias)
        .bind(aliased.installation_id.uuid())
        .bind(&aliased.tool)
        .bind(by.uuid())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn remove_alias(tx: &mut TenantTx, alias: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query("DELETE FROM tool_aliases WHERE tenant_id = $1 AND alias = $2")
        .bind(tenant)
        .bind(alias)
        .execute(tx.conn())
        .await?;
    Ok(())
}
