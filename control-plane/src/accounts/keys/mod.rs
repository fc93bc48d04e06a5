//! API keys: bearer tokens of a member or a service account, for scripts and clients without OAuth. Kept as a hash, which
//! nodes hold too.

pub mod store;

use secrecy::SecretString;
use time::{Duration, OffsetDateTime};
use toolmesh_proto::claims::{API_KEY_PREFIX, Subject};
use toolmesh_proto::ids::{ApiKeyId, ServiceAccountId, UserId};

use super::members::{self, Membership, Permission};
use super::service_accounts;
use crate::credentials::token::Token;
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};

/// Keys of one owner at a time.
const MAX_KEYS: i64 = 50;

/// What has ended is shown for this long.
pub const SHOWN_AFTER_END: Duration = Duration::days(30);

/// Which tools a key is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyScope {
    #[default]
    All,
    /// Those that only read.
    Read,
}

impl KeyScope {
    /// The word in forms, in the database and in bundles.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Read => "read",
        }
    }
}

impl TryFrom<String> for KeyScope {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl std::str::FromStr for KeyScope {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => Ok(Self::All),
            "read" => Ok(Self::Read),
            _ => Err(Error::field("scope", "Choose what the key may use.")),
        }
    }
}

/// How long a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Days(i64),
    Endless,
}

impl Life {
    /// All that can be chosen.
    pub const CHOICES: [Self; 5] =
        [Self::Days(7), Self::Days(30), Self::Days(90), Self::Days(365), Self::Endless];
    pub const DEFAULT: Self = Self::Days(90);

    fn ends(self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match self {
            Self::Days(days) => Some(now + Duration::days(days)),
            Self::Endless => None,
        }
    }
}

impl std::fmt::Display for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Days(days) => days.fmt(f),
            Self::Endless => f.write_str("never"),
        }
    }
}

impl std::str::FromStr for Life {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let chosen = Self::CHOICES.into_iter().find(|choice| choice.to_string() == text);
        chosen.ok_or_else(|| Error::field("expires", "Choose when the key ends."))
    }
}

/// How long the old secret of a key that is rolled still works, in hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace(i64);

impl Grace {
    pub const CHOICES: [Self; 4] = [Self(0), Self(1), Self(24), Self(24 * 7)];
    pub const DEFAULT: Self = Self(24);

    #[must_use]
    pub const fn hours(self) -> i64 {
        self.0
    }
}

impl std::str::FromStr for Grace {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let chosen = Self::CHOICES.into_iter().find(|choice| choice.0.to_string() == text);
        chosen.ok_or_else(|| Error::field("grace", "Choose how long the old secret still works."))
    }
}

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    pub name: &'a str,
    pub scope: KeyScope,
    pub life: Life,
}

/// A key as its owner and the admins see it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ApiKey {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: ApiKeyId,
    user_id: Option<uuid::Uuid>,
    service_account_id: Option<uuid::Uuid>,
    /// A person's name or the service account's.
    pub owner: String,
    /// Empty for a service account.
    pub owner_email: String,
    pub name: String,
    pub prefix: String,
    pub last4: String,
    #[sqlx(try_from = "String")]
    pub scope: KeyScope,
    pub created_at: OffsetDateTime,
    pub expires_at: Option<OffsetDateTime>,
    pub revoked_at: Option<OffsetDateTime>,
    pub last_used_at: Option<OffsetDateTime>,
    pub last_used_from: Option<String>,
    pub rolled_at: Option<OffsetDateTime>,
    /// Until when the secret before the last roll works.
    pub previous_until: Option<OffsetDateTime>,
}

impl ApiKey {
    /// Whether it acts as this member.
    #[must_use]
    pub fn is_of(&self, user: UserId) -> bool {
        self.user_id == Some(user.uuid())
    }

    /// The service account that it acts as.
    #[must_use]
    pub fn service_account(&self) -> Option<ServiceAccountId> {
        self.service_account_id.map(ServiceAccountId::from)
    }

    /// Whether it has ended, by itself or by hand.
    #[must_use]
    pub fn has_ended(&self, now: OffsetDateTime) -> bool {
        self.revoked_at.is_some() || self.expires_at.is_some_and(|at| at <= now)
    }

    /// Who may give it a new secret: nobody gets one that acts as somebody else.
    fn may_roll(&self, by: &Membership) -> bool {
        match self.service_account() {
            Some(_) => by.may(Permission::Members),
            None => self.is_of(by.user),
        }
    }

    /// Who may see and revoke it.
    fn may_see(&self, by: &Membership) -> bool {
        self.may_roll(by) || (self.user_id.is_some() && by.may(Permission::Clients))
    }
}

/// A key right after it was made: the only moment at which it can be shown.
pub struct NewKey {
    pub id: ApiKeyId,
    pub name: String,
    pub secret: SecretString,
}

/// One use of a key, as a node reported it.
#[derive(Clone, Debug)]
pub struct KeyUse {
    pub key: ApiKeyId,
    pub at: OffsetDateTime,
    pub from: String,
}

/// Makes a key that acts as the member themselves or as a service account.
///
/// # Errors
/// A field error for what has to be mended; `Forbidden` or `NotFound` for a service account that is not theirs to use.
pub async fn create(db: &Db, by: &Membership, owner: Subject, draft: &Draft<'_>) -> Result<NewKey> {
    let name = super::person_name(draft.name)
        .map_err(|_| Error::field("name", "Enter a name of 1 to 80 characters."))?;
    let (token, prefix) = fresh()?;
    let mut tx = db.tenant(by.tenant).await?;
    lock_owner(&mut tx, by, owner).await?;
    if store::count(&mut tx, owner).await? >= MAX_KEYS {
        return Err(Error::field("name", "There are 50 keys already. Revoke one first."));
    }
    let id = ApiKeyId::new();
    let row = store::NewRow {
        id,
        owner,
        name: &name,
        prefix: &prefix,
        scope: draft.scope,
        expires_at: draft.life.ends(OffsetDateTime::now_utc()),
    };
    store::insert(&mut tx, &row, &token).await?;
    tx.commit_change().await?;
    Ok(NewKey { id, name, secret: token.secret })
}

/// Locks whoever the key acts as, so that two at once cannot pass the limit together, and asks whether `by` may use them.
async fn lock_owner(tx: &mut TenantTx, by: &Membership, owner: Subject) -> Result<()> {
    let by = members::still(tx, by).await?;
    match owner {
        Subject::User(user) if user == by.user => Ok(()),
        Subject::User(_) => Err(Error::Forbidden("A key acts as its owner, so only they can make it.")),
        Subject::Service(account) => {
            by.require(Permission::Members)?;
            service_accounts::store::lock(tx, account).await?.then_some(()).ok_or(Error::NotFound)
        }
    }
}

/// The keys of members: one's own, or everybody's for who may manage them. What ended within 30 days is among them.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &Db, by: &Membership) -> Result<Vec<ApiKey>> {
    let mut tx = db.tenant(by.tenant).await?;
    let user = if by.may(Permission::Clients) { None } else { Some(by.user) };
    store::of_members(&mut tx, user).await
}

/// The keys of a service account, as for `list`.
///
/// # Errors
/// `Forbidden` for who may not manage service accounts.
pub async fn of_service_account(db: &Db, by: &Membership, account: ServiceAccountId) -> Result<Vec<ApiKey>> {
    by.require(Permission::Members)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::of_service_account(&mut tx, account).await
}

/// One key, with whether `by` may give it a new secret.
///
/// # Errors
/// `NotFound` for a key that is not there or not theirs to see.
pub async fn get(db: &Db, by: &Membership, id: ApiKeyId) -> Result<(ApiKey, bool)> {
    let mut tx = db.tenant(by.tenant).await?;
    let key = store::get(&mut tx, id).await?.filter(|key| key.may_see(by)).ok_or(Error::NotFound)?;
    let may_roll = key.may_roll(by);
    Ok((key, may_roll))
}

/// Gives a key a new secret. The old one works on until the grace ends, and a still older one ends now.
///
/// # Errors
/// `NotFound` for a key that is not there or not theirs; `Refused` for one that has ended.
pub async fn roll(db: &Db, by: &Membership, id: ApiKeyId, grace: Grace) -> Result<NewKey> {
    let (token, prefix) = fresh()?;
    let mut tx = db.tenant(by.tenant).await?;
    let by = members::still(&mut tx, by).await?;
    let key = store::lock(&mut tx, id).await?.filter(|key| key.may_roll(&by)).ok_or(Error::NotFound)?;
    let now = OffsetDateTime::now_utc();
    if key.has_ended(now) {
        return Err(Error::Refused("This key has ended. Make a new one instead.".to_owned()));
    }
    let until = (grace.0 > 0).then(|| now + Duration::hours(grace.0));
    store::roll(&mut tx, id, &token, &prefix, until).await?;
    tx.commit_change().await?;
    Ok(NewKey { id, name: key.name, secret: token.secret })
}

/// Revokes every key of the workspace, in the transaction of who may do that and tells nodes.
///
/// # Errors
/// When the database fails.
pub async fn revoke_all(tx: &mut TenantTx) -> Result<()> {
    store::revoke_all(tx).await
}

/// Revokes a key at once, a secret from before its last roll included.
///
/// # Errors
/// `NotFound` for a key that is not there or not theirs.
pub async fn revoke(db: &Db, by: &Membership, id: ApiKeyId) -> Result<ApiKey> {
    let mut tx = db.tenant(by.tenant).await?;
    let by = members::still(&mut tx, by).await?;
    let key = store::lock(&mut tx, id).await?.filter(|key| key.may_see(&by)).ok_or(Error::NotFound)?;
    if key.revoked_at.is_some() {
        return Err(Error::NotFound);
    }
    store::revoke(&mut tx, id).await?;
    tx.commit_change().await?;
    Ok(key)
}

/// Notes when keys were last used; one that was noted within the last minute stays as it is.
///
/// # Errors
/// When the database fails.
pub async fn note_uses(tx: &mut TenantTx, uses: &[KeyUse]) -> Result<()> {
    if uses.is_empty() { Ok(()) } else { store::note_uses(tx, uses).await }
}

/// A new secret, and the part of it that may be shown.
fn fresh() -> Result<(Token, String)> {
    let public = uuid::Uuid::new_v4().simple().to_string();
    let prefix = format!("{API_KEY_PREFIX}{}", &public[..8]);
    Ok((Token::new(&format!("{prefix}_"))?, prefix))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_shown_part_of_a_key_begins_it_and_says_nothing_of_the_rest() {
        let (token, prefix) = fresh().unwrap();
        let secret = token.secret.expose_secret();
        assert!(prefix.starts_with("tmk_") && prefix.len() == 12, "{prefix}");
        assert_eq!(secret.strip_prefix(&prefix).map(str::len), Some(44));
        assert_ne!(fresh().unwrap().1, prefix);
    }

    #[test]
    fn only_offered_choices_are_taken() {
        assert_eq!("30".parse::<Life>().unwrap(), Life::Days(30));
        assert_eq!("never".parse::<Life>().unwrap(), Life::Endless);
        assert_eq!("168".parse::<Grace>().unwrap().hours(), 168);
        for bad in ["", "0", "-1", "31", "99999999999"] {
            assert!(bad.parse::<Life>().is_err(), "{bad}");
        }
        assert!("2".parse::<Grace>().is_err() && "write".parse::<KeyScope>().is_err());
    }
}
