//! Groups of a workspace's members, by hand or as the company's identity provider says. Bundles name the groups that each
//! member is in, so that access rules can go by them.

pub mod store;

use time::OffsetDateTime;
use toolmesh_proto::ids::{GroupId, TenantId, UserId};

use super::members::{self, Membership, Permission};
use crate::db::{Db, TenantTx};
use crate::error::{Error, OnConstraint as _, Result};

/// Groups of one workspace.
const MAX_GROUPS: i64 = 200;

/// What stands for the order of changes in [`TenantTx::one_at_a_time`].
const GROUPS: &str = "groups";

/// A group, as lists show it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Group {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: GroupId,
    pub name: String,
    /// What the identity provider calls it.
    pub external_name: Option<String>,
    pub members: i64,
    pub created_at: OffsetDateTime,
}

/// Somebody in a group.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct GroupMember {
    #[sqlx(try_from = "uuid::Uuid")]
    pub group_id: GroupId,
    #[sqlx(try_from = "uuid::Uuid")]
    pub user_id: UserId,
    /// Whether an identity provider put them in, which may take them out again.
    pub by_sign_in: bool,
}

/// All groups, by name.
///
/// # Errors
/// `Forbidden` without [`Permission::Members`].
pub async fn list(db: &Db, by: &Membership) -> Result<Vec<Group>> {
    by.require(Permission::Members)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::list(&mut tx).await
}

/// One group and who is in it.
///
/// # Errors
/// `Forbidden` without [`Permission::Members`]; `NotFound` for an id of no or another workspace.
pub async fn get(db: &Db, by: &Membership, id: GroupId) -> Result<(Group, Vec<GroupMember>)> {
    by.require(Permission::Members)?;
    let mut tx = db.tenant(by.tenant).await?;
    let group = store::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
    let mut members = store::members(&mut tx).await?;
    members.retain(|member| member.group_id == id);
    Ok((group, members))
}

/// Who is in which groups, in the whole workspace.
///
/// # Errors
/// `Forbidden` without [`Permission::Members`].
pub async fn memberships(db: &Db, by: &Membership) -> Result<Vec<GroupMember>> {
    by.require(Permission::Members)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::members(&mut tx).await
}

/// Names of the groups that somebody is in.
///
/// # Errors
/// When the database fails.
pub async fn names_of(db: &Db, tenant: TenantId, user: UserId) -> Result<Vec<String>> {
    let mut tx = db.tenant(tenant).await?;
    store::names_of(&mut tx, user).await
}

/// Makes a group.
///
/// # Errors
/// A field error for an unusable or taken name, or when there are too many.
pub async fn create(db: &Db, by: &Membership, name: &str) -> Result<GroupId> {
    let mut tx = begin(db, by).await?;
    let name = group_name(name)?;
    if store::count(&mut tx).await? >= MAX_GROUPS {
        return Err(Error::field("name", "This workspace has 200 groups, which is the most."));
    }
    let id = GroupId::new();
    store::insert(&mut tx, id, &name).await.on_constraint("groups_name_key", || taken("name"))?;
    tx.commit_change().await?;
    Ok(id)
}

/// Changes a group's name, and what the identity provider calls it; who was in it by the old name there is so no more.
///
/// # Errors
/// A field error for an unusable or taken name; `NotFound` for an unknown group.
pub async fn change(db: &Db, by: &Membership, id: GroupId, name: &str, external: &str) -> Result<()> {
    let mut tx = begin(db, by).await?;
    let name = group_name(name)?;
    let external = external_name(external)?;
    let before = store::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
    store::set_name(&mut tx, id, &name).await.on_constraint("groups_name_key", || taken("name"))?;
    if before.external_name != external {
        store::set_external_name(&mut tx, id, external.as_deref())
            .await
            .on_constraint("groups_external_name_key", || taken("external_name"))?;
        store::remove_signed_in(&mut tx, id).await?;
    }
    tx.commit_change().await?;
    Ok(())
}

/// Deletes a group; its members stay members of the workspace.
///
/// # Errors
/// `NotFound` for an unknown group.
pub async fn delete(db: &Db, by: &Membership, id: GroupId) -> Result<()> {
    let mut tx = begin(db, by).await?;
    if !store::delete(&mut tx, id).await? {
        return Err(Error::NotFound);
    }
    tx.commit_change().await?;
    Ok(())
}

/// Puts members of the workspace into a group; whoever is in it already stays.
///
/// # Errors
/// `NotFound` for an unknown group or somebody who is no member.
pub async fn add(db: &Db, by: &Membership, id: GroupId, users: &[UserId]) -> Result<()> {
    let mut tx = begin(db, by).await?;
    store::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
    let members = members::list(&mut tx).await?;
    for user in users {
        if !members.iter().any(|member| member.user_id == *user) {
            return Err(Error::NotFound);
        }
        store::add(&mut tx, id, *user).await?;
    }
    tx.commit_change().await?;
    Ok(())
}

/// Takes a member out of a group.
///
/// # Errors
/// `NotFound` for an unknown group or somebody who is not in it.
pub async fn take_out(db: &Db, by: &Membership, id: GroupId, user: UserId) -> Result<()> {
    let mut tx = begin(db, by).await?;
    if !store::take_out(&mut tx, id, user).await? {
        return Err(Error::NotFound);
    }
    tx.commit_change().await?;
    Ok(())
}

/// Sets the groups that a member is in by their identity provider's word, by the names it gives them: puts them into those that
/// carry such a name and takes them out of the others it had put them into. What an admin did by hand stays. Answers whether
/// anything changed, which the caller then commits as a change; nothing does for who is no member.
///
/// # Errors
/// When the database fails.
pub async fn set_external(tx: &mut TenantTx, user: UserId, names: &[String]) -> Result<bool> {
    tx.one_at_a_time(GROUPS).await?;
    if !members::lock(tx, user).await? {
        return Ok(false);
    }
    store::set_signed_in(tx, user, names).await
}

async fn begin(db: &Db, by: &Membership) -> Result<TenantTx> {
    let mut tx = db.tenant(by.tenant).await?;
    tx.one_at_a_time(GROUPS).await?;
    members::still(&mut tx, by).await?.require(Permission::Members)?;
    Ok(tx)
}

fn group_name(text: &str) -> Result<String> {
    super::person_name(text)
}

fn external_name(text: &str) -> Result<Option<String>> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.chars().count() > 200 || text.chars().any(super::is_invisible) {
        let message = "Use up to 200 visible characters, exactly as the identity provider writes them.";
        return Err(Error::field("external_name", message));
    }
    Ok(Some(text.to_owned()))
}

fn taken(field: &'static str) -> Error {
    Error::field(field, "Another group of this workspace has this name. Choose another.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_at_the_identity_provider_is_kept_as_it_is_written_there() {
        assert_eq!(external_name("  ").ok(), Some(None));
        assert_eq!(external_name(" CN=Eng, O=Acme ").ok(), Some(Some("CN=Eng, O=Acme".to_owned())));
        assert!(external_name(&"x".repeat(201)).is_err());
        assert!(external_name("eng\u{202e}").is_err());
    }
}
