//! Grants with their people and clients.

use toolmesh_proto::ids::{GrantId, UserId};
use uuid::Uuid;

use super::{Connection, SHOWN, Stops};
use crate::db::TenantTx;
use crate::error::Result;

pub(super) async fn list(
    tx: &mut TenantTx,
    id: Option<GrantId>,
    user: Option<UserId>,
    client: Option<&str>,
) -> Result<Vec<Connection>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT g.id, g.user_id, u.name AS user_name, u.email AS user_email, g.client_id, c.name AS client_name,
                 coalesce(c.redirect_uris[1], '') AS redirect_uri, g.scope, g.created_at,
                 (SELECT max(e.at) FROM audit_events e WHERE e.tenant_id = g.tenant_id AND e.user_id = g.user_id
                    AND e.client_id = g.client_id) AS last_used_at
               FROM oauth_grants g JOIN users u ON u.id = g.user_id
               JOIN oauth_clients c ON c.tenant_id = g.tenant_id AND c.client_id = g.client_id
               WHERE g.tenant_id = $1 AND g.revoked_at IS NULL AND ($2::uuid IS NULL OR g.id = $2)
                 AND ($3::uuid IS NULL OR g.user_id = $3) AND ($4::text IS NULL OR g.client_id = $4)
               ORDER BY g.created_at DESC LIMIT $5";
    Ok(sqlx::query_as(sql)
        .bind(tenant)
        .bind(id.map(GrantId::uuid))
        .bind(user.map(UserId::uuid))
        .bind(client)
        .bind(SHOWN)
        .fetch_all(tx.conn())
        .await?)
}

/// People who have connections.
pub(super) async fn users(tx: &mut TenantTx) -> Result<Vec<(UserId, String)>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT DISTINCT u.id, u.name FROM oauth_grants g JOIN users u ON u.id = g.user_id
               WHERE g.tenant_id = $1 AND g.revoked_at IS NULL ORDER BY u.name, u.id LIMIT $2";
    let rows: Vec<(Uuid, String)> = sqlx::query_as(sql).bind(tenant).bind(SHOWN).fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|(id, name)| (id.into(), name)).collect())
}

/// Clients that are connected.
pub(super) async fn clients(tx: &mut TenantTx) -> Result<Vec<(String, String)>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT DISTINCT c.client_id, c.name FROM oauth_grants g
               JOIN oauth_clients c ON c.tenant_id = g.tenant_id AND c.client_id = g.client_id
               WHERE g.tenant_id = $1 AND g.revoked_at IS NULL ORDER BY c.name, c.client_id LIMIT $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(SHOWN).fetch_all(tx.conn()).await?)
}

/// What stops, or `None` where the person or client is not of this workspace.
pub(super) async fn stops(
    tx: &mut TenantTx,
    user: Option<UserId>,
    client: Option<&str>,
) -> Result<Option<Stops>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT count(g.id) AS connections, count(DISTINCT g.user_id) AS people,
                 coalesce((array_agg(DISTINCT c.name) FILTER (WHERE c.name IS NOT NULL))[1:6], '{}') AS apps,
                 (SELECT count(*) FROM api_keys k WHERE k.tenant_id = $1 AND k.revoked_at IS NULL
                    AND (k.expires_at IS NULL OR k.expires_at > now())) AS api_keys,
                 coalesce(
                   (SELECT u.name FROM memberships m JOIN users u ON u.id = m.user_id
                    WHERE m.tenant_id = $1 AND m.user_id = $2),
                   (SELECT o.name FROM oauth_clients o WHERE o.tenant_id = $1 AND o.client_id = $3), '') AS name
               FROM oauth_grants g
               LEFT JOIN oauth_clients c ON c.tenant_id = g.tenant_id AND c.client_id = g.client_id
               WHERE g.tenant_id = $1 AND g.revoked_at IS NULL AND ($2::uuid IS NULL OR g.user_id = $2)
                 AND ($3::text IS NULL OR g.client_id = $3)";
    let query = sqlx::query_as(sql).bind(tenant).bind(user.map(UserId::uuid)).bind(client);
    let stops: Stops = query.fetch_one(tx.conn()).await?;
    let named = user.is_some() || client.is_some();
    Ok(Some(stops).filter(|stops| !named || !stops.name.is_empty()))
}
