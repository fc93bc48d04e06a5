//! Rows of tool overrides, and of how an installation's tools are offered.

use std::collections::{BTreeMap, HashMap};

use sqlx::types::Json;
use toolmesh_proto::ids::{InstallationId, UserId};

use super::{Argument, Override};
use crate::db::TenantTx;
use crate::error::Result;

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(try_from = "uuid::Uuid")]
    installation_id: InstallationId,
    tool: String,
    name: String,
    title: String,
    description: String,
    annotations: String,
    arguments: Json<Vec<Argument>>,
}

/// Of all installations, or of one, by tool.
pub(in crate::connectors) async fn all(
    tx: &mut TenantTx,
    only: Option<InstallationId>,
) -> Result<HashMap<InstallationId, BTreeMap<String, Override>>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT installation_id, tool, name, title, description, annotations, arguments FROM tool_overrides
               WHERE tenant_id = $1 AND ($2::uuid IS NULL OR installation_id = $2)";
    let query = sqlx::query_as(sql).bind(tenant).bind(only.map(InstallationId::uuid));
    let rows: Vec<Row> = query.fetch_all(tx.conn()).await?;
    let mut all: HashMap<_, BTreeMap<_, _>> = HashMap::new();
    for row in rows {
        let Row { installation_id, tool, name, title, description, annotations, arguments } = row;
        // The table is written by `set` alone, so that what stands there is an object.
        let annotations = serde_json::from_str(&annotations).unwrap_or_default();
        let set = Override { name, title, description, annotations, arguments: arguments.0 };
        all.entry(installation_id).or_default().insert(tool, set);
    }
    Ok(all)
}

pub(in crate::connectors) async fn set(
    tx: &mut TenantTx,
    id: InstallationId,
    tool: &str,
    set: &Override,
    by: UserId,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let annotations = if set.annotations.is_empty() {
        String::new()
    } else {
        serde_json::Value::Object(set.annotations.clone()).to_string()
    };
    sqlx::query(
        "INSERT INTO tool_overrides
           (tenant_id, installation_id, tool, name, title, description, annotations, arguments, set_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (tenant_id, installation_id, tool) DO UPDATE
         SET name = excluded.name, title = excluded.title, description = excluded.description,
             annotations = excluded.annotations, arguments = excluded.arguments, set_by = excluded.set_by, set_at = now()",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(tool)
    .bind(&set.name)
    .bind(&set.title)
    .bind(&set.description)
    .bind(annotations)
    .bind(Json(&set.arguments))
    .bind(by.uuid())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn delete(tx: &mut TenantTx, id: InstallationId, tool: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM tool_overrides WHERE tenant_id = $1 AND installation_id = $2 AND tool = $3";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(tool).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn set_offering(
    tx: &mut TenantTx,
    id: InstallationId,
    bare_names: bool,
    timeout_seconds: i32,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql =
        "UPDATE installations SET bare_names = $3, timeout_seconds = $4 WHERE tenant_id = $1 AND id = $2";
    sqlx::query(sql)
        .bind(tenant)
        .bind(id.uuid())
        .bind(bare_names)
        .bind(timeout_seconds)
        .execute(tx.conn())
        .await?;
    Ok(())
}
