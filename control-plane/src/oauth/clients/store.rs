//! Rows of clients, their secrets, and the workspace's rules on them.

use time::OffsetDateTime;
use toolmesh_proto::ids::UserId;

use super::admin::{Listed, Secret};
use super::policy::Rules;
use super::{Client, Standing};
use crate::db::TenantTx;
use crate::error::Result;

pub(in crate::oauth) async fn client(tx: &mut TenantTx, client_id: &str) -> Result<Option<Client>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT client_id, name, redirect_uris, kind, auth_method, jwks, jwks_uri, grant_types, standing,
                 true AS stored
               FROM oauth_clients WHERE tenant_id = $1 AND client_id = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(client_id).fetch_optional(tx.conn()).await?)
}

/// Hashes of the secrets that are good now.
pub(super) async fn secret_hashes(tx: &mut TenantTx, client_id: &str) -> Result<Vec<Vec<u8>>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT hash FROM oauth_client_secrets
               WHERE tenant_id = $1 AND client_id = $2 AND (expires_at IS NULL OR expires_at > now()) LIMIT 10";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(client_id).fetch_all(tx.conn()).await?)
}

pub(super) async fn insert_secret(
    tx: &mut TenantTx,
    client_id: &str,
    hash: &[u8],
    last4: &str,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO oauth_client_secrets (tenant_id, client_id, hash, last4) VALUES ($1, $2, $3, $4)";
    sqlx::query(sql).bind(tenant).bind(client_id).bind(hash).bind(last4).execute(tx.conn()).await?;
    Ok(())
}

/// The client as it is now known; what admins decided about it stays. Callers have found that it may be used.
pub(in crate::oauth) async fn upsert(
    tx: &mut TenantTx,
    client: &Client,
    fingerprint: &[u8],
    by: Option<UserId>,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "INSERT INTO oauth_clients (tenant_id, client_id, name, redirect_uris, kind, auth_method, jwks, jwks_uri,
                 grant_types, standing, fingerprint, created_by, last_seen_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now())
               ON CONFLICT (tenant_id, client_id) DO UPDATE SET
                 name = excluded.name, redirect_uris = excluded.redirect_uris, auth_method = excluded.auth_method,
                 jwks = excluded.jwks, jwks_uri = excluded.jwks_uri, grant_types = excluded.grant_types,
                 fingerprint = excluded.fingerprint, last_seen_at = now(),
                 standing = CASE oauth_clients.standing WHEN 'pending' THEN excluded.standing ELSE oauth_clients.standing END";
    sqlx::query(sql)
        .bind(tenant)
        .bind(&client.client_id)
        .bind(&client.name)
        .bind(&client.redirect_uris)
        .bind(client.kind.as_str())
        .bind(client.auth_method.as_str())
        .bind(&client.jwks)
        .bind(&client.jwks_uri)
        .bind(&client.grant_types)
        .bind(client.standing.as_str())
        .bind(fingerprint)
        .bind(by.map(UserId::uuid))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Notes that a client was seen, where that was not noted since `before`.
pub(in crate::oauth) async fn seen(tx: &mut TenantTx, client_id: &str, before: OffsetDateTime) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE oauth_clients SET last_seen_at = now()
               WHERE tenant_id = $1 AND client_id = $2 AND (last_seen_at IS NULL OR last_seen_at < $3)";
    sqlx::query(sql).bind(tenant).bind(client_id).bind(before).execute(tx.conn()).await?;
    Ok(())
}

/// The client with the SHA-256 of its id in hexadecimal digits: ids are too long for paths, or URLs themselves.
pub(super) async fn by_handle(tx: &mut TenantTx, handle: &str) -> Result<Option<Client>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT client_id, name, redirect_uris, kind, auth_method, jwks, jwks_uri, grant_types, standing,
                 true AS stored
               FROM oauth_clients
               WHERE tenant_id = $1 AND encode(sha256(convert_to(client_id, 'UTF8')), 'hex') = $2";
    Ok(sqlx::query_as(sql).bind(tenant).bind(handle).fetch_optional(tx.conn()).await?)
}

/// The ids of registrations of the same program, itself among them.
pub(super) async fn same(tx: &mut TenantTx, client_id: &str) -> Result<Vec<String>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT o.client_id FROM oauth_clients c JOIN oauth_clients o ON o.tenant_id = c.tenant_id
                 AND (o.client_id = c.client_id OR (o.kind = 'registered' AND o.fingerprint = c.fingerprint))
               WHERE c.tenant_id = $1 AND c.client_id = $2";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(client_id).fetch_all(tx.conn()).await?)
}

/// All clients, or one; registrations of the same program are one row, named by the latest.
pub(super) async fn list(tx: &mut TenantTx, only: Option<&str>) -> Result<Vec<Listed>> {
    let tenant = tx.tenant().uuid();
    let sql = "WITH known AS (
                 SELECT *, CASE WHEN kind = 'registered' AND fingerprint IS NOT NULL THEN encode(fingerprint, 'hex')
                           ELSE client_id END AS program
                 FROM oauth_clients WHERE tenant_id = $1),
               latest AS (
                 SELECT DISTINCT ON (program) * FROM known WHERE $2::text IS NULL OR client_id = $2
                 ORDER BY program, coalesce(last_seen_at, first_seen_at) DESC),
               together AS (
                 SELECT program, min(first_seen_at) AS first_seen_at, max(last_seen_at) AS last_seen_at,
                   count(*) AS registrations FROM known GROUP BY program),
               used AS (
                 SELECT k.program, count(DISTINCT g.user_id) AS users
                 FROM known k JOIN oauth_grants g ON g.tenant_id = $1 AND g.client_id = k.client_id AND g.revoked_at IS NULL
                 GROUP BY k.program)
               SELECT encode(sha256(convert_to(l.client_id, 'UTF8')), 'hex') AS handle, l.client_id, l.name,
                 l.redirect_uris, l.kind, l.auth_method, l.standing, t.first_seen_at, t.last_seen_at, t.registrations,
                 coalesce(used.users, 0) AS users, p.email AS created_by
               FROM latest l JOIN together t USING (program) LEFT JOIN used USING (program)
                 LEFT JOIN users p ON p.id = l.created_by
               ORDER BY l.standing = 'pending' DESC, coalesce(t.last_seen_at, t.first_seen_at) DESC LIMIT 500";
    Ok(sqlx::query_as(sql).bind(tenant).bind(only).fetch_all(tx.conn()).await?)
}

pub(super) async fn set_standing(tx: &mut TenantTx, client_id: &str, standing: Standing) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE oauth_clients SET standing = $3 WHERE tenant_id = $1 AND client_id = $2";
    sqlx::query(sql).bind(tenant).bind(client_id).bind(standing.as_str()).execute(tx.conn()).await?;
    Ok(())
}

/// Whether somebody's consent to a client is in force, or was until a moment ago.
pub(super) async fn has_grants(tx: &mut TenantTx, client_id: &str) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT EXISTS (SELECT FROM oauth_grants WHERE tenant_id = $1 AND client_id = $2)";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(client_id).fetch_one(tx.conn()).await?)
}

/// Deletes a client with its grants.
pub(super) async fn delete(tx: &mut TenantTx, client_id: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    for sql in [
        "DELETE FROM oauth_grants WHERE tenant_id = $1 AND client_id = $2",
        "DELETE FROM oauth_clients WHERE tenant_id = $1 AND client_id = $2",
    ] {
        sqlx::query(sql).bind(tenant).bind(client_id).execute(tx.conn()).await?;
    }
    Ok(())
}

/// The secrets that are good now, the newest first.
pub(super) async fn secrets(tx: &mut TenantTx, client_id: &str) -> Result<Vec<Secret>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT last4, created_at, expires_at FROM oauth_client_secrets
               WHERE tenant_id = $1 AND client_id = $2 AND (expires_at IS NULL OR expires_at > now())
               ORDER BY created_at DESC LIMIT 10";
    Ok(sqlx::query_as(sql).bind(tenant).bind(client_id).fetch_all(tx.conn()).await?)
}

/// Lets a client's secrets end at a time, where they do not end before.
pub(super) async fn end_secrets(tx: &mut TenantTx, client_id: &str, at: OffsetDateTime) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE oauth_client_secrets SET expires_at = least(expires_at, $3)
               WHERE tenant_id = $1 AND client_id = $2";
    sqlx::query(sql).bind(tenant).bind(client_id).bind(at).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn rules(tx: &mut TenantTx) -> Result<Rules> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT policy, hosts FROM oauth_client_policies WHERE tenant_id = $1";
    let rules: Option<Rules> = sqlx::query_as(sql).bind(tenant).fetch_optional(tx.conn()).await?;
    Ok(rules.unwrap_or_default())
}

pub(super) async fn set_rules(tx: &mut TenantTx, rules: &Rules, by: UserId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql =
        "INSERT INTO oauth_client_policies (tenant_id, policy, hosts, updated_by) VALUES ($1, $2, $3, $4)
               ON CONFLICT (tenant_id) DO UPDATE SET policy = excluded.policy, hosts = excluded.hosts,
                 updated_by = excluded.updated_by, updated_at = now()";
    let query = sqlx::query(sql).bind(tenant).bind(rules.policy.as_str()).bind(&rules.hosts);
    query.bind(by.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// What became of registrations of the same program.
pub(super) async fn twins(tx: &mut TenantTx, fingerprint: &[u8]) -> Result<Vec<Standing>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT DISTINCT standing FROM oauth_clients
               WHERE tenant_id = $1 AND fingerprint = $2 AND kind = 'registered'";
    let words: Vec<String> =
        sqlx::query_scalar(sql).bind(tenant).bind(fingerprint).fetch_all(tx.conn()).await?;
    words.into_iter().map(Standing::try_from).collect()
}

pub(super) async fn count_pending(tx: &mut TenantTx) -> Result<i64> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT count(*) FROM oauth_clients WHERE tenant_id = $1 AND standing = 'pending'";
    Ok(sqlx::query_scalar(sql).bind(tenant).fetch_one(tx.conn()).await?)
}

/// Deletes what nobody uses: clients without a grant that were not seen for 90 days, and requests that no admin answered in
/// 30. What was blocked stays so, and what was made by hand is somebody's.
pub(in crate::oauth) async fn prune(tx: &mut TenantTx) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM oauth_clients c WHERE c.tenant_id = $1 AND c.kind <> 'manual' AND c.standing <> 'blocked'
                 AND coalesce(c.last_seen_at, c.first_seen_at) <
                   now() - CASE c.standing WHEN 'pending' THEN interval '30 days' ELSE interval '90 days' END
                 AND NOT EXISTS (SELECT FROM oauth_grants g WHERE g.tenant_id = c.tenant_id AND g.client_id = c.client_id)";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    let sql = "DELETE FROM oauth_client_secrets WHERE tenant_id = $1 AND expires_at < now()";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    Ok(())
}
