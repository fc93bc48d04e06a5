//! Rows of people on their way to a provider and back.

use toolmesh_proto::ids::{InstallationId, UserId};

use crate::credentials::Account;
use crate::credentials::envelope::Sealed;
use crate::db::TenantTx;
use crate::error::Result;

/// Somebody who left for a provider.
pub(super) struct Left<'a> {
    pub state_hash: &'a [u8],
    pub account: Account,
    pub user: UserId,
    pub browser_hash: &'a [u8],
    pub verifier: &'a Sealed,
    /// Of the authorization server that they leave for, where that says who it is.
    pub issuer: &'a str,
    /// What is asked for.
    pub scope: &'a str,
}

/// Notes that somebody left; forgets those who never came back.
pub(super) async fn insert_consent(tx: &mut TenantTx, left: &Left<'_>, minutes: i32) -> Result<()> {
    let tenant = tx.tenant().uuid();
    sqlx::query("DELETE FROM upstream_consents WHERE tenant_id = $1 AND (expires_at < now() OR user_id = $2 AND installation_id = $3)")
        .bind(tenant)
        .bind(left.user.uuid())
        .bind(left.account.installation.uuid())
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "INSERT INTO upstream_consents
           (tenant_id, state_hash, installation_id, user_id, browser_hash, nonce, verifier, expires_at,
            holder, issuer, scope)
         VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(mins => $8), $9, $10, $11)",
    )
    .bind(tenant)
    .bind(left.state_hash)
    .bind(left.account.installation.uuid())
    .bind(left.user.uuid())
    .bind(left.browser_hash)
    .bind(&left.verifier.nonce)
    .bind(&left.verifier.ciphertext)
    .bind(minutes)
    .bind(left.account.holder())
    .bind(left.issuer)
    .bind(left.scope)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Who came back, and what with.
#[derive(sqlx::FromRow)]
pub(super) struct ConsentRow {
    #[sqlx(try_from = "uuid::Uuid")]
    pub installation_id: InstallationId,
    #[sqlx(try_from = "uuid::Uuid")]
    pub user_id: UserId,
    pub nonce: Vec<u8>,
    pub verifier: Vec<u8>,
    /// Whether it is for the person's own account.
    pub personal: bool,
    pub issuer: String,
    pub scope: String,
}

/// Takes a consent out, so that it is used once however many bring its state back.
pub(super) async fn take_consent(
    tx: &mut TenantTx,
    state_hash: &[u8],
    browser_hash: &[u8],
) -> Result<Option<ConsentRow>> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM upstream_consents
               WHERE tenant_id = $1 AND state_hash = $2 AND browser_hash = $3 AND expires_at > now()
               RETURNING installation_id, user_id, nonce, verifier, holder = user_id AS personal, issuer, scope";
    let query = sqlx::query_as(sql).bind(tenant).bind(state_hash).bind(browser_hash);
    Ok(query.fetch_optional(tx.conn()).await?)
}

/// Ends the logins that are under way; who comes back from one begins again.
pub(super) async fn end_consents(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM upstream_consents WHERE tenant_id = $1 AND installation_id = $2";
    sqlx::query(sql).bind(tenant).bind(id.uuid()).execute(tx.conn()).await?;
    Ok(())
}
