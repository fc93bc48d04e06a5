//! Rows of MCP servers: what is known of each, what it offers, when it is looked at, and how it fares on nodes.

use std::collections::{BTreeSet, HashMap};

use sqlx::types::Json;
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::{InstallationId, TenantId, UserId};
use toolmesh_proto::v1;
use toolmesh_proto::v1::mcp_server::Transport;
use uuid::Uuid;

use super::client::Found;
use super::definitions::Kind;
use super::review::Known;
use crate::db::{GlobalTx, TenantTx};
use crate::error::{Error, Result};

/// What is known of a server.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub struct ServerRow {
    pub transport: String,
    pub revision: String,
    pub name: String,
    pub title: String,
    pub version: String,
    pub capabilities: String,
    pub reviewed: bool,
    pub notes: Json<Vec<String>>,
    pub found_at: Option<OffsetDateTime>,
    pub tried_at: Option<OffsetDateTime>,
    pub problem: String,
    pub failures: i32,
}

impl ServerRow {
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self.transport.as_str() {
            "streamable_http" => Transport::StreamableHttp,
            "http_sse" => Transport::HttpSse,
            _ => Transport::Unspecified,
        }
    }

    /// What a look has found of the server itself.
    pub(super) fn learn(&mut self, found: &Found) {
        let transport = match found.transport {
            Transport::StreamableHttp => "streamable_http",
            Transport::HttpSse => "http_sse",
            Transport::Unspecified => "",
        };
        transport.clone_into(&mut self.transport);
        self.revision.clone_from(&found.revision);
        self.name.clone_from(&found.name);
        self.title.clone_from(&found.title);
        self.version.clone_from(&found.version);
        self.capabilities.clone_from(&found.capabilities);
        self.notes = Json(found.notes.clone());
        self.problem.clear();
        self.failures = 0;
    }
}

pub(super) async fn insert(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO upstream_servers (tenant_id, installation_id) VALUES ($1, $2)";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    let sql = "INSERT INTO upstream_checks (tenant_id, installation_id, due_at) VALUES ($1, $2, now() + interval '4 hours')";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn get(tx: &mut TenantTx, id: InstallationId) -> Result<Option<ServerRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT transport, revision, name, title, version, capabilities, reviewed, notes, found_at, tried_at, problem, failures
               FROM upstream_servers WHERE tenant_id = $1 AND installation_id = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

/// The same, with its row locked until the transaction ends.
pub(super) async fn lock(tx: &mut TenantTx, id: InstallationId) -> Result<Option<ServerRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT FROM upstream_servers WHERE tenant_id = $1 AND installation_id = $2 FOR UPDATE";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    get(tx, id).await
}

/// Writes what a look has found of the server itself, at this moment.
pub(super) async fn save(tx: &mut TenantTx, id: InstallationId, server: &ServerRow) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE upstream_servers
         SET transport = $3, revision = $4, name = $5, title = $6, version = $7, capabilities = $8, notes = $9,
             problem = '', failures = 0, found_at = now(), tried_at = now()
         WHERE tenant_id = $1 AND installation_id = $2",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(&server.transport)
    .bind(&server.revision)
    .bind(&server.name)
    .bind(&server.title)
    .bind(&server.version)
    .bind(&server.capabilities)
    .bind(&server.notes)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes that a look has failed. Answers how many have in a row.
pub(super) async fn failed(tx: &mut TenantTx, id: InstallationId, problem: &str) -> Result<i32> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE upstream_servers SET problem = $3, failures = failures + 1, tried_at = now()
               WHERE tenant_id = $1 AND installation_id = $2 RETURNING failures";
    let query = sqlx::query_scalar(sql).bind(tenant).bind(id.uuid()).bind(problem);
    Ok(query.fetch_optional(tx.conn()).await?.unwrap_or(1))
}

pub(super) async fn set_reviewed(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE upstream_servers SET reviewed = true WHERE tenant_id = $1 AND installation_id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct DefinitionRow {
    kind: String,
    name: String,
    position: i32,
    found: Option<String>,
    found_at: OffsetDateTime,
    approved: Option<String>,
    refused: bool,
    access: String,
    off: bool,
}

/// Everything that a server offers or has offered, in its order.
pub(super) async fn definitions(tx: &mut TenantTx, id: InstallationId) -> Result<Vec<Known>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT kind, name, position, found, found_at, approved, refused, access, off FROM upstream_definitions
               WHERE tenant_id = $1 AND installation_id = $2 ORDER BY position, kind, name";
    let rows: Vec<DefinitionRow> =
        sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_all(tx.conn()).await?;
    let known = |row: DefinitionRow| {
        let kind = Kind::parse(&row.kind)
            .ok_or_else(|| Error::Internal(format!("a definition of kind {}", row.kind)))?;
        let DefinitionRow { name, position, found, found_at, approved, refused, access, off, .. } = row;
        Ok(Known { kind, name, position, found, found_at, approved, refused, access, off })
    };
    rows.into_iter().map(known).collect()
}

/// Replaces everything that is known of what a server offers. Who approved what stays with what stays approved.
pub(super) async fn replace(
    tx: &mut TenantTx,
    id: InstallationId,
    known: &[Known],
    by: Option<UserId>,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let column = |of: fn(&Known) -> String| known.iter().map(of).collect::<Vec<_>>();
    let (kinds, names) = (column(|row| row.kind.as_str().to_owned()), column(|row| row.name.clone()));
    sqlx::query(
        "DELETE FROM upstream_definitions d WHERE tenant_id = $1 AND installation_id = $2 AND NOT EXISTS
           (SELECT FROM unnest($3::text[], $4::text[]) AS kept (kind, name) WHERE kept.kind = d.kind AND kept.name = d.name)",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(&kinds)
    .bind(&names)
    .execute(tx.conn())
    .await?;
    sqlx::query(
        "INSERT INTO upstream_definitions AS d
           (tenant_id, installation_id, kind, name, position, found, found_at, approved, approved_at, approved_by, refused, access, off)
         SELECT $1, $2, n.kind, n.name, n.position, n.found, n.found_at, n.approved,
                CASE WHEN n.approved IS NOT NULL THEN now() END, CASE WHEN n.approved IS NOT NULL THEN $12::uuid END,
                n.refused, n.access, n.off
         FROM unnest($3::text[], $4::text[], $5::integer[], $6::text[], $7::timestamptz[], $8::text[], $9::boolean[],
                     $10::text[], $11::boolean[])
           AS n (kind, name, position, found, found_at, approved, refused, access, off)
         ON CONFLICT (tenant_id, installation_id, kind, name) DO UPDATE
         SET position = excluded.position, found = excluded.found, found_at = excluded.found_at, approved = excluded.approved,
             approved_at = CASE WHEN d.approved IS DISTINCT FROM excluded.approved THEN excluded.approved_at ELSE d.approved_at END,
             approved_by = CASE WHEN d.approved IS DISTINCT FROM excluded.approved THEN excluded.approved_by ELSE d.approved_by END,
             refused = excluded.refused, access = excluded.access, off = excluded.off",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(&kinds)
    .bind(&names)
    .bind(known.iter().map(|row| row.position).collect::<Vec<_>>())
    .bind(known.iter().map(|row| row.found.clone()).collect::<Vec<_>>())
    .bind(known.iter().map(|row| row.found_at).collect::<Vec<_>>())
    .bind(known.iter().map(|row| row.approved.clone()).collect::<Vec<_>>())
    .bind(known.iter().map(|row| row.refused).collect::<Vec<_>>())
    .bind(column(|row| row.access.clone()))
    .bind(known.iter().map(|row| row.off).collect::<Vec<_>>())
    .bind(by.map(UserId::uuid))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Prompts, resources and templates that are switched off, of all installations.
pub(in crate::connectors) async fn switched_off(
    tx: &mut TenantTx,
) -> Result<HashMap<InstallationId, BTreeSet<String>>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT installation_id, name FROM upstream_definitions
               WHERE tenant_id = $1 AND off AND kind IN ('prompt', 'resource', 'template')";
    let rows: Vec<(Uuid, String)> = sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?;
    let mut off: HashMap<InstallationId, BTreeSet<String>> = HashMap::new();
    for (installation, name) in rows {
        off.entry(installation.into()).or_default().insert(name);
    }
    Ok(off)
}

/// Makes this one the only one who looks at a server for a minute; it is due again then, should this one not come back. False
/// where somebody looks already.
pub(super) async fn take(tx: &mut TenantTx, id: InstallationId, lease: Uuid) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE upstream_checks SET lease = $3, leased_until = now() + interval '60 seconds', due_at = now() + interval '60 seconds'
               WHERE tenant_id = $1 AND installation_id = $2 AND leased_until <= now()";
    let done = sqlx::query(sql).bind(tenant).bind(id.uuid()).bind(lease).execute(tx.conn()).await?;
    Ok(done.rows_affected() > 0)
}

/// Ends the look and says when the next is due. A wish for another that came meanwhile is kept.
pub(super) async fn give_back(
    tx: &mut TenantTx,
    id: InstallationId,
    lease: Uuid,
    next: Duration,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE upstream_checks
               SET lease = NULL, leased_until = '-infinity',
                   due_at = CASE WHEN due_at < leased_until THEN due_at ELSE now() + $4 * interval '1 second' END
               WHERE tenant_id = $1 AND installation_id = $2 AND lease = $3";
    sqlx::query(sql)
        .bind(tenant)
        .bind(id.uuid())
        .bind(lease)
        .bind(next.as_seconds_f64())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Asks for a look soon, but not right after the last one.
pub(super) async fn hasten(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE upstream_checks c
               SET due_at = LEAST(c.due_at, GREATEST(now() + interval '2 seconds', s.tried_at + interval '20 seconds'))
               FROM upstream_servers s
               WHERE c.tenant_id = $1 AND c.installation_id = $2
                 AND s.tenant_id = c.tenant_id AND s.installation_id = c.installation_id";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// Asks for a look at once, since the server is reached in another way from now on.
pub(super) async fn reached_anew(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE upstream_checks SET due_at = now() WHERE tenant_id = $1 AND installation_id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// Servers that are due, in every workspace, those that wait longest first.
pub(super) async fn due(tx: &mut GlobalTx, most: i64) -> Result<Vec<(TenantId, InstallationId)>> {
    let sql = "SELECT tenant_id, installation_id FROM upstream_checks
               WHERE due_at <= now() AND leased_until <= now() ORDER BY due_at LIMIT $1";
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(sql).bind(most).fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|(tenant, id)| (tenant.into(), id.into())).collect())
}

/// How a server fares on one node.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct NodeState {
    pub node: String,
    pub state: String,
    pub detail: String,
    pub since: OffsetDateTime,
    pub told_at: OffsetDateTime,
}

pub(super) async fn states(tx: &mut TenantTx, id: InstallationId) -> Result<Vec<NodeState>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT node, state, detail, since, told_at FROM upstream_states
               WHERE tenant_id = $1 AND installation_id = $2 AND told_at > now() - interval '1 day' ORDER BY node LIMIT 100";
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_all(tx.conn()).await?)
}

/// How a server fares, by what nodes say and by the newest look.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub struct Fares {
    /// Nodes that get no answer from it, and since when the first of them gets none.
    pub away: Vec<String>,
    pub since: Option<OffsetDateTime>,
    /// What one of them says is the reason.
    pub detail: String,
    /// Nodes that have said anything of it lately.
    pub nodes: Vec<String>,
    /// Why the newest look failed, and when it was made; empty where it did not fail.
    pub problem: String,
    pub tried_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct FaresRow {
    #[sqlx(try_from = "uuid::Uuid")]
    installation_id: InstallationId,
    #[sqlx(flatten)]
    fares: Fares,
}

/// How servers fare, of all installations or of one.
pub(super) async fn faring(
    tx: &mut TenantTx,
    only: Option<InstallationId>,
) -> Result<HashMap<InstallationId, Fares>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT s.installation_id, s.problem, s.tried_at,
                 coalesce(array_agg(n.node ORDER BY n.node) FILTER (WHERE n.state <> 'well'), '{}') AS away,
                 min(n.since) FILTER (WHERE n.state <> 'well') AS since,
                 coalesce(max(n.detail) FILTER (WHERE n.state <> 'well'), '') AS detail,
                 coalesce(array_agg(n.node) FILTER (WHERE n.node IS NOT NULL), '{}') AS nodes
               FROM upstream_servers s
               LEFT JOIN upstream_states n ON n.tenant_id = s.tenant_id AND n.installation_id = s.installation_id
                 AND n.told_at > now() - interval '1 day'
               WHERE s.tenant_id = $1 AND ($2::uuid IS NULL OR s.installation_id = $2)
               GROUP BY s.installation_id, s.problem, s.tried_at";
    let query = sqlx::query_as(sql).bind(tenant).bind(only.map(InstallationId::uuid));
    let rows: Vec<FaresRow> = query.fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|row| (row.installation_id, row.fares)).collect())
}

/// Forgets what a node has said of servers in every workspace, and what was said before a moment. Answers how much that was.
pub(super) async fn forget_states(
    tx: &mut GlobalTx,
    node: Option<&str>,
    before: OffsetDateTime,
) -> Result<u64> {
    let sql = "SELECT forget_upstream_states($1, $2)";
    let forgotten: i64 = sqlx::query_scalar(sql).bind(node).bind(before).fetch_one(tx.conn()).await?;
    Ok(forgotten.cast_unsigned())
}

/// Keeps what a node says; of an installation that is gone, nothing.
pub(super) async fn set_state(
    tx: &mut TenantTx,
    id: InstallationId,
    node: &str,
    told: &v1::UpstreamState,
) -> Result<()> {
    use v1::upstream_state::State;
    let tenant = tx.tenant().uuid();
    let word = match told.state() {
        State::Open => "open",
        State::Trying => "trying",
        State::Well | State::Unspecified => "well",
    };
    let detail: String = told.detail.chars().filter(|c| !c.is_control()).take(500).collect();
    sqlx::query(
        "INSERT INTO upstream_states (tenant_id, installation_id, node, state, detail, since)
         SELECT tenant_id, id, $3, $4, $5, $6 FROM installations WHERE tenant_id = $1 AND id = $2
         ON CONFLICT (tenant_id, installation_id, node) DO UPDATE
         SET state = excluded.state, detail = excluded.detail, since = excluded.since, told_at = now()",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(node)
    .bind(word)
    .bind(detail)
    .bind(OffsetDateTime::from_unix_timestamp(told.since).unwrap_or_else(|_| OffsetDateTime::now_utc()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How many definitions of each server wait for somebody to look at them.
pub(super) async fn waiting(tx: &mut TenantTx) -> Result<HashMap<InstallationId, usize>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT installation_id, count(*) FROM upstream_definitions
               WHERE tenant_id = $1 AND NOT refused AND found IS DISTINCT FROM approved GROUP BY installation_id";
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|(id, count)| (id.into(), usize::try_from(count).unwrap_or_default())).collect())
}
