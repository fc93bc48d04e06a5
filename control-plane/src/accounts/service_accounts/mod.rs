//! Service accounts: callers of a workspace that are no people. They own keys and clients, act as themselves in the audit
//! log, and outlive whoever made them.

pub mod store;

use time::OffsetDateTime;
use toolmesh_proto::ids::ServiceAccountId;

use super::members::{self, Membership, Permission};
use crate::db::{Db, TenantTx};
use crate::error::{Error, OnConstraint as _, Result};
use crate::revocations::{self, Reach, What};

/// Service accounts of one workspace.
const MAX_ACCOUNTS: i64 = 200;

const DESCRIPTION_CHARS: usize = 200;

/// A service account as who manages it sees it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ServiceAccount {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: ServiceAccountId,
    pub name: String,
    pub description: String,
    pub created_by: String,
    pub created_by_email: String,
    pub created_at: OffsetDateTime,
    pub disabled_at: Option<OffsetDateTime>,
    /// Keys and clients that work.
    pub keys: i64,
    pub clients: i64,
    pub last_used_at: Option<OffsetDateTime>,
}

/// All of them, by name.
///
/// # Errors
/// `Forbidden` for who may not manage them.
pub async fn list(db: &Db, by: &Membership) -> Result<Vec<ServiceAccount>> {
    by.require(Permission::Members)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::list(&mut tx).await
}

/// One of them.
///
/// # Errors
/// As for `list`; `NotFound` for one that is not there.
pub async fn get(db: &Db, by: &Membership, id: ServiceAccountId) -> Result<ServiceAccount> {
    by.require(Permission::Members)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::get(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// Makes one; it can do nothing until it has a key or a client.
///
/// # Errors
/// Names the field that has to be mended.
pub async fn create(db: &Db, by: &Membership, name: &str, description: &str) -> Result<ServiceAccountId> {
    let (name, description) = facts(name, description)?;
    let mut tx = managing(db, by).await?;
    store::lock_all(&mut tx).await?;
    if store::count(&mut tx).await? >= MAX_ACCOUNTS {
        return Err(Error::field("name", "There are 200 service accounts already. Delete one first."));
    }
    let id = ServiceAccountId::new();
    let made = store::insert(&mut tx, id, &name, &description, by.user).await;
    made.on_constraint("service_accounts_name_key", taken)?;
    tx.commit_change().await?;
    Ok(id)
}

/// Changes name and description.
///
/// # Errors
/// As for `create`; `NotFound` for one that is not there.
pub async fn describe(
    db: &Db,
    by: &Membership,
    id: ServiceAccountId,
    name: &str,
    description: &str,
) -> Result<()> {
    let (name, description) = facts(name, description)?;
    let mut tx = managing(db, by).await?;
    let changed = store::describe(&mut tx, id, &name, &description).await;
    found(changed.on_constraint("service_accounts_name_key", taken)?)?;
    tx.commit_change().await?;
    Ok(())
}

/// Stops everything that acts as it, or lets it act again. Tokens, keys and clients stay, and do nothing while it is disabled.
///
/// # Errors
/// `NotFound` for one that is not there.
pub async fn set_disabled(db: &Db, by: &Membership, id: ServiceAccountId, disabled: bool) -> Result<()> {
    let mut tx = managing(db, by).await?;
    found(store::set_disabled(&mut tx, id, disabled).await?)?;
    tx.commit_change().await?;
    Ok(())
}

/// Deletes it with its keys and clients; `confirm` is its name, typed.
///
/// # Errors
/// A field error where the name does not fit; `NotFound` for one that is not there.
pub async fn delete(db: &Db, by: &Membership, id: ServiceAccountId, confirm: &str) -> Result<()> {
    let mut tx = managing(db, by).await?;
    let account = store::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
    if confirm.trim() != account.name {
        return Err(Error::field("confirm", format!("Type {} to delete it.", account.name)));
    }
    let everything = What::ServiceAccount(id);
    let ended =
        revocations::revoke(&mut tx, &everything, Reach::TokensAndKeys, "the account was deleted").await?;
    store::delete(&mut tx, id).await?;
    tracing::info!(tenant = %by.tenant, account = %id, revocations = ended.sequences.len(), "service account deleted");
    tx.commit_change().await?;
    Ok(())
}

async fn managing(db: &Db, by: &Membership) -> Result<TenantTx> {
    let mut tx = db.tenant(by.tenant).await?;
    members::still(&mut tx, by).await?.require(Permission::Members)?;
    Ok(tx)
}

fn facts(name: &str, description: &str) -> Result<(String, String)> {
    let name =
        super::person_name(name).map_err(|_| Error::field("name", "Enter a name of 1 to 80 characters."))?;
    let description: String = description.chars().filter(|c| !super::is_invisible(*c)).collect();
    let description = description.trim().to_owned();
    if description.chars().count() > DESCRIPTION_CHARS {
        return Err(Error::field("description", "Use at most 200 characters."));
    }
    Ok((name, description))
}

fn found(changed: bool) -> Result<()> {
    changed.then_some(()).ok_or(Error::NotFound)
}

fn taken() -> Error {
    Error::field("name", "Another service account has this name. Choose another.")
}
