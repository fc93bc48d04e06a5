//! Rows of revocations, and the end of grants.

use sqlx::PgConnection;
use toolmesh_proto::claims::{ACCESS_TOKEN_SECONDS, LEEWAY_SECONDS, Subject};
use toolmesh_proto::ids::{GrantId, TenantId, UserId};
use uuid::Uuid;

use super::{CHANNEL, Reach, What};
use crate::db::{GlobalTx, TenantTx};
use crate::error::Result;

/// Most rows that one look takes; so many within a token's life are no people's clicks.
const LIVE_AT_MOST: i64 = 200_000;

/// A row as nodes need it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    #[sqlx(try_from = "Uuid")]
    pub tenant_id: TenantId,
    pub sequence: i64,
    pub kind: String,
    pub subject: String,
    pub min_iat: i64,
    pub api_keys: bool,
}

pub(super) struct Ended {
    pub count: u64,
    /// The newest `iat` of any token that came of them.
    pub last_iat: i64,
}

/// Ends the grants that are meant. A code or refresh token of an ended grant is worth nothing.
pub(super) async fn end_grants(
    conn: &mut PgConnection,
    tenant: TenantId,
    what: &What,
    reason: &str,
) -> Result<Ended> {
    let sql = "WITH ended AS (
                 UPDATE oauth_grants SET revoked_at = clock_timestamp(), revoke_reason = $5
                 WHERE tenant_id = $1 AND revoked_at IS NULL
                   AND ($2 = 'tenant' OR ($2 = 'grant' AND id = $3) OR ($2 = 'user' AND user_id = $3)
                        OR ($2 = 'client' AND client_id = $4))
                 RETURNING last_iat)
               SELECT count(*), coalesce(max(last_iat), 0) FROM ended";
    let (count, last_iat): (i64, i64) = sqlx::query_as(sql)
        .bind(tenant.uuid())
        .bind(what.kind())
        .bind(what.id())
        .bind(what.subject())
        .bind(reason)
        .fetch_one(conn)
        .await?;
    Ok(Ended { count: count.cast_unsigned(), last_iat })
}

/// The newest `iat` of any token of a member; their grants stay locked, so that none is issued meanwhile.
pub(super) async fn last_iat(tx: &mut TenantTx, user: UserId) -> Result<i64> {
    let tenant = tx.tenant().uuid();
    let sql = "WITH mine AS (
                 SELECT last_iat FROM oauth_grants WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL
                 ORDER BY id FOR UPDATE)
               SELECT coalesce(max(last_iat), 0) FROM mine";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(user.uuid()).fetch_one(tx.conn()).await?)
}

/// Writes the row and wakes whoever tells nodes, when the transaction commits. Answers its sequence.
pub(super) async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    what: &What,
    reach: Reach,
    last_iat: i64,
) -> Result<i64> {
    // The time is taken now, not at the transaction's begin: what was issued in between is meant too.
    let sql = "INSERT INTO revocations (tenant_id, kind, subject, min_iat, api_keys)
               VALUES ($1, $2, $3, greatest(floor(extract(epoch FROM clock_timestamp()))::bigint, $4), $5)
               RETURNING sequence";
    let sequence = sqlx::query_scalar(sql)
        .bind(tenant.uuid())
        .bind(what.kind())
        .bind(what.subject())
        .bind(last_iat)
        .bind(reach == Reach::TokensAndKeys)
        .fetch_one(&mut *conn)
        .await?;
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(conn).await?;
    Ok(sequence)
}

/// See `super::issue_after`.
pub(super) async fn issue_after(tx: &mut TenantTx, client_id: &str, subject: Subject) -> Result<i64> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT coalesce(max(min_iat), 0) FROM revocations
               WHERE tenant_id = $1 AND created_at > now() - interval '5 minutes'
                 AND (kind, subject) IN (('client', $2), ('user', $3), ('tenant', ''))";
    Ok(sqlx::query_scalar(sql)
        .bind(tenant)
        .bind(client_id)
        .bind(subject.to_string())
        .fetch_one(tx.conn())
        .await?)
}

pub(super) async fn is_revoked(tx: &mut TenantTx, grant: GrantId) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT EXISTS (SELECT FROM revocations WHERE tenant_id = $1 AND kind = 'grant' AND subject = $2)";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(grant.to_string()).fetch_one(tx.conn()).await?)
}

/// The workspaces that a person belongs to.
pub(super) async fn workspaces_of(conn: &mut PgConnection, user: UserId) -> Result<Vec<TenantId>> {
    let sql = "SELECT set_config('app.tenant', '', true), set_config('app.user', $1, true)";
    sqlx::query(sql).bind(user.to_string()).execute(&mut *conn).await?;
    let sql = "SELECT tenant_id FROM memberships WHERE user_id = $1 ORDER BY tenant_id";
    let ids: Vec<Uuid> = sqlx::query_scalar(sql).bind(user.uuid()).fetch_all(&mut *conn).await?;
    sqlx::query("SELECT set_config('app.user', '', true)").execute(conn).await?;
    Ok(ids.into_iter().map(TenantId::from).collect())
}

/// Makes the transaction act for a tenant, or for none.
pub(super) async fn act_for(conn: &mut PgConnection, tenant: Option<TenantId>) -> Result<()> {
    let setting = tenant.map_or_else(String::new, |tenant| tenant.to_string());
    sqlx::query("SELECT set_config('app.tenant', $1, true)").bind(setting).execute(conn).await?;
    Ok(())
}

pub(super) async fn prune(tx: &mut TenantTx) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM revocations WHERE tenant_id = $1 AND created_at < now() - interval '1 day'";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    Ok(())
}

/// What may refuse a token that has not expired, of all tenants; with `all`, everything, else what came within two minutes.
///
/// A window instead of a cursor, as for the outbox: rows become visible in the order of commits, not of their sequence.
pub(crate) async fn live(tx: &mut GlobalTx, all: bool) -> Result<Vec<Row>> {
    let leeway = i64::try_from(LEEWAY_SECONDS).unwrap_or_default();
    let window = if all { ACCESS_TOKEN_SECONDS + 2 * leeway + 120 } else { 120 };
    let sql = "SELECT tenant_id, sequence, kind, subject, min_iat, api_keys FROM revocations
               WHERE created_at > now() - make_interval(secs => $1) ORDER BY sequence DESC LIMIT $2";
    let window = f64::from(i32::try_from(window).unwrap_or(i32::MAX));
    Ok(sqlx::query_as(sql).bind(window).bind(LIVE_AT_MOST).fetch_all(tx.conn()).await?)
}
