//! API keys: bearer tokens of a member for scripts and clients without OAuth. Kept as a hash, which nodes hold too.

pub mod store;

use secrecy::SecretString;
use time::OffsetDateTime;
use toolmesh_proto::claims::API_KEY_PREFIX;
use toolmesh_proto::ids::{ApiKeyId, UserId};

use super::members::{self, Membership, Permission};
use crate::credentials::token::Token;
use crate::db::Db;
use crate::error::{Error, Result};

/// Keys of one member at a time.
const MAX_KEYS: usize = 50;

/// A key as its owner and the admins see it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ApiKey {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: ApiKeyId,
    #[sqlx(try_from = "uuid::Uuid")]
    pub user_id: UserId,
    pub owner: String,
    pub owner_email: String,
    pub name: String,
    pub last4: String,
    pub created_at: OffsetDateTime,
    pub expires_at: Option<OffsetDateTime>,
    pub last_used_at: Option<OffsetDateTime>,
}

/// A key right after it was made: the only moment at which it can be shown.
pub struct NewKey {
    pub id: ApiKeyId,
    pub secret: SecretString,
}

/// Makes a key for a member.
///
/// # Errors
/// When the name is empty or too long, there are too many, or `user` is no member.
pub async fn create(db: &Db, by: &Membership, name: &str) -> Result<NewKey> {
    let name =
        super::person_name(name).map_err(|_| Error::field("name", "Enter a name of 1 to 80 characters."))?;
    let token = Token::new(API_KEY_PREFIX)?;
    let mut tx = db.tenant(by.tenant).await?;
    members::still(&mut tx, by).await?;
    if store::of_user(&mut tx, by.user).await?.len() >= MAX_KEYS {
        return Err(Error::field("name", "You have 50 keys. Revoke one first."));
    }
    let id = ApiKeyId::new();
    store::insert(&mut tx, id, by.user, &name, &token).await?;
    tx.commit_change().await?;
    Ok(NewKey { id, secret: token.secret })
}

/// The member's own keys; all keys for who may manage them.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &Db, by: &Membership) -> Result<Vec<ApiKey>> {
    let mut tx = db.tenant(by.tenant).await?;
    if by.may(Permission::Clients) {
        store::all(&mut tx).await
    } else {
        store::of_user(&mut tx, by.user).await
    }
}

/// Revokes a key: the owner's own, or any for who may manage them.
///
/// # Errors
/// `NotFound` for a key that is not there or not theirs.
pub async fn revoke(db: &Db, by: &Membership, id: ApiKeyId) -> Result<()> {
    let mut tx = db.tenant(by.tenant).await?;
    let only = if by.may(Permission::Clients) { None } else { Some(by.user) };
    if !store::revoke(&mut tx, id, only).await? {
        return Err(Error::NotFound);
    }
    tx.commit_change().await?;
    Ok(())
}
