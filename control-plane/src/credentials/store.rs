//! Rows of credentials and of tenants' data keys.

use toolmesh_proto::ids::{InstallationId, UserId};

use super::envelope::Sealed;
use super::{Account, CredentialFacts};
use crate::db::TenantTx;
use crate::error::Result;

#[derive(sqlx::FromRow)]
pub(super) struct CredentialRow {
    #[sqlx(try_from = "uuid::Uuid")]
    pub installation_id: InstallationId,
    pub name: String,
    pub version: i64,
    pub nonce: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

pub(super) async fn current_version(tx: &mut TenantTx, account: Account, name: &str) -> Result<Option<i64>> {
    let sql = "SELECT version FROM credentials
               WHERE tenant_id = $1 AND installation_id = $2 AND holder = $3 AND name = $4 FOR UPDATE";
    let tenant = tx.tenant().uuid();
    let query = sqlx::query_scalar(sql).bind(tenant).bind(account.installation.uuid());
    let query = query.bind(account.holder()).bind(name);
    Ok(query.fetch_optional(tx.conn()).await?)
}

pub(super) async fn upsert(
    tx: &mut TenantTx,
    account: Account,
    name: &str,
    version: i64,
    sealed: &Sealed,
    last4: &str,
    by: UserId,
) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query(
        "INSERT INTO credentials (tenant_id, installation_id, name, version, nonce, ciphertext, last4, set_by, holder)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (tenant_id, installation_id, holder, name) DO UPDATE
         SET version = excluded.version, nonce = excluded.nonce, ciphertext = excluded.ciphertext,
             last4 = excluded.last4, set_by = excluded.set_by, set_at = now()",
    )
    .bind(tenant)
    .bind(account.installation.uuid())
    .bind(name)
    .bind(version)
    .bind(&sealed.nonce)
    .bind(&sealed.ciphertext)
    .bind(last4)
    .bind(by.uuid())
    .bind(account.holder())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The workspace's credentials of all installations, or of one; or a member's own.
pub(super) async fn all(
    tx: &mut TenantTx,
    only: Option<InstallationId>,
    member: Option<UserId>,
) -> Result<Vec<CredentialRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT installation_id, name, version, nonce, ciphertext FROM credentials
               WHERE tenant_id = $1 AND ($2::uuid IS NULL OR installation_id = $2) AND member_id IS NOT DISTINCT FROM $3
               ORDER BY installation_id, name";
    let query = sqlx::query_as(sql).bind(tenant).bind(only.map(InstallationId::uuid));
    let query = query.bind(member.map(UserId::uuid));
    Ok(query.fetch_all(tx.conn()).await?)
}

#[derive(sqlx::FromRow)]
pub(super) struct FactsRow {
    #[sqlx(try_from = "uuid::Uuid")]
    pub installation_id: InstallationId,
    #[sqlx(flatten)]
    pub facts: CredentialFacts,
}

pub(super) async fn facts(
    tx: &mut TenantTx,
    only: Option<InstallationId>,
    member: Option<UserId>,
) -> Result<Vec<FactsRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT c.installation_id, c.name, c.last4, u.name AS set_by, u.email AS set_by_email, c.set_at
               FROM credentials c JOIN users u ON u.id = c.set_by
               WHERE c.tenant_id = $1 AND ($2::uuid IS NULL OR c.installation_id = $2)
                 AND c.member_id IS NOT DISTINCT FROM $3
               ORDER BY c.installation_id, c.name";
    let query = sqlx::query_as(sql).bind(tenant).bind(only.map(InstallationId::uuid));
    let query = query.bind(member.map(UserId::uuid));
    Ok(query.fetch_all(tx.conn()).await?)
}

pub(super) async fn delete(tx: &mut TenantTx, installation: InstallationId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM credentials WHERE tenant_id = $1 AND installation_id = $2";
    sqlx::query(sql).bind(tenant).bind(installation.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn delete_named(tx: &mut TenantTx, installation: InstallationId, name: &str) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM credentials WHERE tenant_id = $1 AND installation_id = $2 AND name = $3";
    sqlx::query(sql).bind(tenant).bind(installation.uuid()).bind(name).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn delete_account(tx: &mut TenantTx, account: Account) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM credentials WHERE tenant_id = $1 AND installation_id = $2 AND holder = $3";
    let query = sqlx::query(sql).bind(tenant).bind(account.installation.uuid()).bind(account.holder());
    query.execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn insert_tenant_key(tx: &mut TenantTx, wrapped: &Sealed) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query("INSERT INTO tenant_keys (tenant_id, nonce, wrapped) VALUES ($1, $2, $3)")
        .bind(tenant)
        .bind(&wrapped.nonce)
        .bind(&wrapped.ciphertext)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn tenant_key(tx: &mut TenantTx) -> Result<Sealed> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT nonce, wrapped AS ciphertext FROM tenant_keys WHERE tenant_id = $1";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_one(tx.conn()).await?)
}
