//! Rows of changes of address that are undone, and of what came to an account since. Each query names the person.

use time::OffsetDateTime;
use toolmesh_proto::ids::{TenantId, UserId};

use crate::db::GlobalTx;
use crate::error::Result;
use crate::revocations;

/// A change of address, seen from the address before.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Change {
    #[sqlx(try_from = "uuid::Uuid")]
    pub user_id: UserId,
    /// The address before.
    pub email: String,
    pub changed_at: OffsetDateTime,
}

/// Something that came to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    App,
    Passkey(String),
    /// A way to log in elsewhere: the provider's word, and what they are called there.
    Identity {
        provider: String,
        label: String,
    },
    /// An API key that was made, or got another secret.
    Key(String),
}

pub(super) async fn undoable(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<Change>> {
    let sql = "SELECT user_id, email, created_at AS changed_at FROM email_changes
               WHERE hash = $1 AND undo AND used_at IS NULL AND expires_at > now()";
    Ok(sqlx::query_as(sql).bind(hash).fetch_optional(tx.conn()).await?)
}

/// Uses a link, and ends those that addresses were given which the account has had since: they are the other's.
pub(super) async fn use_undo(tx: &mut GlobalTx, hash: &[u8]) -> Result<Option<Change>> {
    let sql = "UPDATE email_changes SET used_at = now()
               WHERE hash = $1 AND undo AND used_at IS NULL AND expires_at > now()
               RETURNING user_id, email, created_at AS changed_at";
    let change: Option<Change> = sqlx::query_as(sql).bind(hash).fetch_optional(tx.conn()).await?;
    if let Some(change) = &change {
        let sql = "UPDATE email_changes SET used_at = now()
                   WHERE user_id = $1 AND undo AND used_at IS NULL AND created_at >= $2";
        sqlx::query(sql).bind(change.user_id.uuid()).bind(change.changed_at).execute(tx.conn()).await?;
    }
    Ok(change)
}

/// What came to an account since a moment.
pub(super) async fn came_since(tx: &mut GlobalTx, user: UserId, since: OffsetDateTime) -> Result<Vec<Came>> {
    let id = user.uuid();
    let mut came = Vec::new();
    let sql = "SELECT EXISTS (SELECT FROM authenticator_apps WHERE user_id = $1 AND created_at >= $2)";
    if sqlx::query_scalar(sql).bind(id).bind(since).fetch_one(tx.conn()).await? {
        came.push(Came::App);
    }
    let sql = "SELECT name FROM passkeys WHERE user_id = $1 AND created_at >= $2 ORDER BY created_at";
    let names: Vec<String> = sqlx::query_scalar(sql).bind(id).bind(since).fetch_all(tx.conn()).await?;
    came.extend(names.into_iter().map(Came::Passkey));
    act_as(tx, Some(user)).await?;
    let sql = "SELECT provider, label FROM external_identities WHERE user_id = $1 AND linked_at >= $2
               UNION ALL
               SELECT 'company', label FROM company_identities WHERE user_id = $1 AND linked_at >= $2";
    let ways: Vec<(String, String)> = sqlx::query_as(sql).bind(id).bind(since).fetch_all(tx.conn()).await?;
    came.extend(ways.into_iter().map(|(provider, label)| Came::Identity { provider, label }));
    act_as(tx, None).await?;
    for tenant in revocations::workspaces_of(tx.conn(), user).await? {
        revocations::act_for(tx.conn(), Some(tenant)).await?;
        let keys = keys_since(tx, tenant, user, since).await?;
        came.extend(keys.into_iter().map(Came::Key));
    }
    revocations::act_for(tx.conn(), None).await?;
    Ok(came)
}

async fn keys_since(
    tx: &mut GlobalTx,
    tenant: TenantId,
    user: UserId,
    since: OffsetDateTime,
) -> Result<Vec<String>> {
    let sql = "SELECT name FROM api_keys WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL
                 AND greatest(created_at, rolled_at) >= $3 ORDER BY created_at";
    Ok(sqlx::query_scalar(sql).bind(tenant.uuid()).bind(user.uuid()).bind(since).fetch_all(tx.conn()).await?)
}

/// Removes all of it. Recovery codes go where they are as new, or stand in for nothing any more.
pub(super) async fn remove_since(tx: &mut GlobalTx, user: UserId, since: OffsetDateTime) -> Result<()> {
    act_as(tx, Some(user)).await?;
    for sql in [
        "DELETE FROM authenticator_apps WHERE user_id = $1 AND created_at >= $2",
        "DELETE FROM passkeys WHERE user_id = $1 AND created_at >= $2",
        "DELETE FROM recovery_codes WHERE user_id = $1 AND (created_at >= $2
           OR NOT EXISTS (SELECT FROM authenticator_apps WHERE user_id = $1 UNION ALL SELECT FROM passkeys WHERE user_id = $1))",
        "DELETE FROM external_identities WHERE user_id = $1 AND linked_at >= $2",
        "DELETE FROM company_identities WHERE user_id = $1 AND linked_at >= $2",
    ] {
        sqlx::query(sql).bind(user.uuid()).bind(since).execute(tx.conn()).await?;
    }
    act_as(tx, None).await?;
    for tenant in revocations::workspaces_of(tx.conn(), user).await? {
        revocations::act_for(tx.conn(), Some(tenant)).await?;
        let sql = "UPDATE api_keys SET revoked_at = now(), previous_sha256 = NULL, previous_until = NULL
                   WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL
                     AND greatest(created_at, rolled_at) >= $3";
        sqlx::query(sql).bind(tenant.uuid()).bind(user.uuid()).bind(since).execute(tx.conn()).await?;
    }
    revocations::act_for(tx.conn(), None).await?;
    Ok(())
}

/// Makes the transaction act as a person, or as nobody.
async fn act_as(tx: &mut GlobalTx, user: Option<UserId>) -> Result<()> {
    let setting = user.map_or_else(String::new, |user| user.to_string());
    sqlx::query("SELECT set_config('app.user', $1, true)").bind(setting).execute(tx.conn()).await?;
    Ok(())
}
