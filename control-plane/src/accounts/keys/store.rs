//! Rows of API keys.

use time::OffsetDateTime;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::{ApiKeyId, ServiceAccountId, UserId};
use uuid::Uuid;

use super::{ApiKey, KeyScope, KeyUse, SHOWN_AFTER_END};
use crate::credentials::token::Token;
use crate::db::TenantTx;
use crate::error::Result;
use crate::revocations;

/// What a node needs of a key.
#[derive(sqlx::FromRow)]
pub(crate) struct NodeKey {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: ApiKeyId,
    pub user_id: Option<Uuid>,
    pub service_account_id: Option<Uuid>,
    pub name: String,
    pub scope: String,
    pub sha256: Vec<u8>,
    pub expires_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub previous_sha256: Option<Vec<u8>>,
    pub previous_until: Option<OffsetDateTime>,
}

/// A key that is to be written.
pub(super) struct NewRow<'a> {
    pub id: ApiKeyId,
    pub owner: Subject,
    pub name: &'a str,
    pub prefix: &'a str,
    pub scope: KeyScope,
    pub expires_at: Option<OffsetDateTime>,
}

/// The columns of the two owners that a key can have.
fn columns(owner: Subject) -> (Option<Uuid>, Option<Uuid>) {
    match owner {
        Subject::User(id) => (Some(id.uuid()), None),
        Subject::Service(id) => (None, Some(id.uuid())),
    }
}

pub(super) async fn insert(tx: &mut TenantTx, row: &NewRow<'_>, token: &Token) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let (user, account) = columns(row.owner);
    // Right after a revocation, in its second, the key is of the second after: what is refused is what was there before.
    let after = revocations::issue_after(tx, "", row.owner).await?;
    sqlx::query(
        "INSERT INTO api_keys (tenant_id, id, user_id, service_account_id, name, prefix, last4, sha256, scope, expires_at,
           created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, greatest(now(), to_timestamp($11::bigint + 1)))",
    )
    .bind(tenant)
    .bind(row.id.uuid())
    .bind(user)
    .bind(account)
    .bind(row.name)
    .bind(row.prefix)
    .bind(token.last4())
    .bind(&token.hash)
    .bind(row.scope.as_str())
    .bind(row.expires_at)
    .bind(after)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keys that still work.
pub(super) async fn count(tx: &mut TenantTx, owner: Subject) -> Result<i64> {
    let tenant = tx.tenant().uuid();
    let (user, account) = columns(owner);
    let sql = "SELECT count(*) FROM api_keys WHERE tenant_id = $1 AND revoked_at IS NULL
                 AND (expires_at IS NULL OR expires_at > now())
                 AND (user_id = $2 OR service_account_id = $3)";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(user).bind(account).fetch_one(tx.conn()).await?)
}

/// The columns of a key with its owner's name, and a condition; one static text for all that read keys.
macro_rules! select_keys {
    ($condition:literal) => {
        concat!(
            "SELECT k.id, k.user_id, k.service_account_id, coalesce(u.name, s.name, '') AS owner,
               coalesce(u.email, '') AS owner_email, k.name, k.prefix, k.last4, k.scope, k.created_at, k.expires_at,
               k.revoked_at, k.last_used_at, k.last_used_from, k.rolled_at, k.previous_until
             FROM api_keys k
             LEFT JOIN users u ON u.id = k.user_id
             LEFT JOIN service_accounts s ON s.tenant_id = k.tenant_id AND s.id = k.service_account_id
             WHERE k.tenant_id = $1 AND ",
            $condition
        )
    };
}

/// Keys of members, or of one, without those that ended long ago.
pub(super) async fn of_members(tx: &mut TenantTx, user: Option<UserId>) -> Result<Vec<ApiKey>> {
    let tenant = tx.tenant().uuid();
    let sql = select_keys!(
        "k.user_id IS NOT NULL AND ($2::uuid IS NULL OR k.user_id = $2)
           AND coalesce(least(k.revoked_at, k.expires_at), 'infinity') > $3
         ORDER BY k.created_at DESC LIMIT 2000"
    );
    let query = sqlx::query_as(sql).bind(tenant).bind(user.map(UserId::uuid)).bind(shown_from());
    Ok(query.fetch_all(tx.conn()).await?)
}

pub(super) async fn of_service_account(tx: &mut TenantTx, account: ServiceAccountId) -> Result<Vec<ApiKey>> {
    let tenant = tx.tenant().uuid();
    let sql = select_keys!(
        "k.service_account_id = $2 AND coalesce(least(k.revoked_at, k.expires_at), 'infinity') > $3
         ORDER BY k.created_at DESC LIMIT 200"
    );
    let query = sqlx::query_as(sql).bind(tenant).bind(account.uuid()).bind(shown_from());
    Ok(query.fetch_all(tx.conn()).await?)
}

fn shown_from() -> OffsetDateTime {
    OffsetDateTime::now_utc() - SHOWN_AFTER_END
}

pub(super) async fn get(tx: &mut TenantTx, id: ApiKeyId) -> Result<Option<ApiKey>> {
    let tenant = tx.tenant().uuid();
    let sql = select_keys!("k.id = $2");
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

pub(super) async fn lock(tx: &mut TenantTx, id: ApiKeyId) -> Result<Option<ApiKey>> {
    let tenant = tx.tenant().uuid();
    let sql = select_keys!("k.id = $2 FOR UPDATE OF k");
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

pub(super) async fn roll(
    tx: &mut TenantTx,
    id: ApiKeyId,
    token: &Token,
    prefix: &str,
    old_until: Option<OffsetDateTime>,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "UPDATE api_keys SET previous_sha256 = CASE WHEN $6::timestamptz IS NULL THEN NULL ELSE sha256 END,
           previous_until = $6, sha256 = $3, prefix = $4, last4 = $5, rolled_at = now()
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant)
    .bind(id.uuid())
    .bind(&token.hash)
    .bind(prefix)
    .bind(token.last4())
    .bind(old_until)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn revoke(tx: &mut TenantTx, id: ApiKeyId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE api_keys SET revoked_at = now(), previous_sha256 = NULL, previous_until = NULL
               WHERE tenant_id = $1 AND id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// Ends every key of the workspace, of members and service accounts.
pub(super) async fn revoke_all(tx: &mut TenantTx) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "UPDATE api_keys SET revoked_at = now(), previous_sha256 = NULL, previous_until = NULL
               WHERE tenant_id = $1 AND revoked_at IS NULL";
    sqlx::query(sql).bind(tenant).execute(tx.conn()).await?;
    Ok(())
}

/// One statement for all keys of a batch; of several uses of one key the last counts.
pub(super) async fn note_uses(tx: &mut TenantTx, uses: &[KeyUse]) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let ids: Vec<Uuid> = uses.iter().map(|one| one.key.uuid()).collect();
    let times: Vec<OffsetDateTime> = uses.iter().map(|one| one.at).collect();
    let places: Vec<&str> = uses.iter().map(|one| one.from.as_str()).collect();
    sqlx::query(
        "UPDATE api_keys k SET last_used_at = n.at, last_used_from = n.place
         FROM (SELECT DISTINCT ON (id) id, at, place FROM unnest($2::uuid[], $3::timestamptz[], $4::text[]) AS u(id, at, place)
               ORDER BY id, at DESC) n
         WHERE k.tenant_id = $1 AND k.id = n.id
           AND (k.last_used_at IS NULL OR k.last_used_at < n.at - interval '1 minute')",
    )
    .bind(tenant)
    .bind(ids)
    .bind(times)
    .bind(places)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn for_nodes(tx: &mut TenantTx) -> Result<Vec<NodeKey>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id, user_id, service_account_id, name, scope, sha256, expires_at, created_at, previous_sha256, previous_until
               FROM api_keys
               WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) ORDER BY id";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}
