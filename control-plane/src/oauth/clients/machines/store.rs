//! Rows of clients that act as service accounts.

use toolmesh_proto::ids::ServiceAccountId;
use uuid::Uuid;

use super::MachineClient;
use crate::db::TenantTx;
use crate::error::Result;

pub(super) async fn list(tx: &mut TenantTx, account: ServiceAccountId) -> Result<Vec<MachineClient>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT client_id, name, jwks_uri, first_seen_at, last_seen_at FROM oauth_clients
               WHERE tenant_id = $1 AND service_account_id = $2 ORDER BY lower(name), client_id LIMIT 100";
    Ok(sqlx::query_as(sql).bind(tenant).bind(account.uuid()).fetch_all(tx.conn()).await?)
}

pub(super) async fn bind(tx: &mut TenantTx, client_id: &str, account: ServiceAccountId) -> Result<()> {
    let tenant = tx.tenant().uuid();
    // It was not seen yet: registering it is no use of it.
    let sql = "UPDATE oauth_clients SET service_account_id = $3, last_seen_at = NULL
               WHERE tenant_id = $1 AND client_id = $2";
    sqlx::query(sql).bind(tenant).bind(client_id).bind(account.uuid()).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn delete(tx: &mut TenantTx, account: ServiceAccountId, client_id: &str) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "DELETE FROM oauth_clients WHERE tenant_id = $1 AND client_id = $2 AND service_account_id = $3";
    let query = sqlx::query(sql).bind(tenant).bind(client_id).bind(account.uuid());
    Ok(query.execute(tx.conn()).await?.rows_affected() == 1)
}

/// The service account that a client acts as; nobody removes the client until the transaction ends.
pub(in crate::oauth) async fn account_of(
    tx: &mut TenantTx,
    client_id: &str,
) -> Result<Option<ServiceAccountId>> {
    let tenant = tx.tenant().uuid();
    let sql =
        "SELECT service_account_id FROM oauth_clients WHERE tenant_id = $1 AND client_id = $2 FOR SHARE";
    let id: Option<Option<Uuid>> =
        sqlx::query_scalar(sql).bind(tenant).bind(client_id).fetch_optional(tx.conn()).await?;
    Ok(id.flatten().map(ServiceAccountId::from))
}
