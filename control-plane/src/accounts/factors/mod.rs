//! Second factors: authenticator apps, passkeys, recovery codes, and the workspaces that ask for one.
//!
//! Knows nothing of pages and sessions: what has to be kept between two pages it hands out, sealed or as a value for the
//! session. What changes somebody's factors tells them by mail, and tells nodes of the workspaces that go by it.

pub mod passkeys;
pub mod recovery;
pub mod requirement;
pub mod store;
pub mod totp;

use std::sync::Arc;

use time::OffsetDateTime;
use toolmesh_proto::ids::UserId;
use uuid::Uuid;
use webauthn_rs::prelude::Webauthn;

use super::User;
use super::events::{self, Kind};
use super::origin::Origin;
use super::throttle::{Buckets, ClientNetwork, buckets, take};
use crate::credentials::envelope::{SealedValues, Vault};
use crate::db::{Db, UserTx};
use crate::error::{Error, Result};
use crate::mail::{FactorChange, Mailer, Message};
use recovery::CodeHash;
use store::AuthenticatorFacts;

/// A passkey's own id, for forms; the credential's id belongs to the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasskeyId(Uuid);

impl PasskeyId {
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default id would not be a new one")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl From<Uuid> for PasskeyId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl std::fmt::Display for PasskeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for PasskeyId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Uuid::try_parse(text).map(Self).map_err(|_| Error::NotFound)
    }
}

/// A passkey as its owner sees it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Passkey {
    #[sqlx(try_from = "Uuid")]
    pub id: PasskeyId,
    credential_id: Vec<u8>,
    pub name: String,
    pub created_at: OffsetDateTime,
    pub last_used_at: Option<OffsetDateTime>,
}

/// What somebody has to prove themselves with besides a password.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub app: Option<AuthenticatorFacts>,
    pub passkeys: Vec<Passkey>,
    pub codes_left: i64,
}

impl Held {
    /// Whether a password alone is not enough.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.app.is_some() || !self.passkeys.is_empty()
    }
}

/// One factor of somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    App,
    Passkey(PasskeyId),
}

/// The second factors with what they need. Cheap to clone.
#[derive(Clone)]
pub struct Factors {
    db: Db,
    vault: Vault,
    mailer: Mailer,
    console_origin: String,
    /// Seals the secret of an app that is being set up.
    setups: SealedValues,
    codes: CodeHash,
    party: Option<Arc<Webauthn>>,
    tries: Tries,
}

impl Factors {
    /// # Errors
    /// Only if the crypto library refuses.
    pub fn new(db: Db, vault: Vault, mailer: Mailer, console_origin: String) -> Result<Self> {
        Ok(Self {
            setups: vault.sealed_values("authenticator app setup v1")?,
            codes: CodeHash::new(&*vault.derive("recovery codes v1")?),
            party: passkeys::relying_party(&console_origin).map(Arc::new),
            tries: Tries::default(),
            db,
            vault,
            mailer,
            console_origin,
        })
    }

    /// What a person has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held(&self, user: UserId) -> Result<Held> {
        let mut tx = self.db.user(user).await?;
        Ok(Held {
            app: store::app_facts(&mut tx).await?,
            passkeys: store::passkeys(&mut tx).await?,
            codes_left: store::codes_left(&mut tx).await?,
        })
    }

    /// Whether a password alone is not enough for this person.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_any(&self, user: UserId) -> Result<bool> {
        let mut tx = self.db.user(user).await?;
        store::has_any(&mut tx).await
    }

    /// Whether this person has a passkey.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_passkey(&self, user: UserId) -> Result<bool> {
        let mut tx = self.db.user(user).await?;
        Ok(!store::passkeys(&mut tx).await?.is_empty())
    }

    /// Whether a network may ask for another login by passkey; each question is kept for its browser.
    ///
    /// # Errors
    /// `TooMany` with the seconds to wait.
    pub fn may_ask(&self, from: &Origin) -> Result<()> {
        take(&self.tries.questions, &ClientNetwork::of(&from.address).as_str().to_owned())
    }

    /// Takes a factor away. With the last one go the recovery codes, which would stand in for nothing.
    ///
    /// # Errors
    /// `Refused` for the last one while a workspace asks for one; `NotFound` for a factor that is not there.
    pub async fn remove(&self, user: &User, which: Which, from: &Origin) -> Result<()> {
        let mut tx = self.db.user(user.id).await?;
        requirement::store::hold_rules(&mut tx).await?;
        if !store::lock_user(&mut tx).await? {
            return Err(Error::NotFound);
        }
        let change = match which {
            Which::App => store::delete_app(&mut tx).await?.then_some(FactorChange::AppRemoved),
            Which::Passkey(id) => store::delete_passkey(&mut tx, id).await?.map(FactorChange::PasskeyRemoved),
        };
        let change = change.ok_or(Error::NotFound)?;
        if !store::has_any(&mut tx).await? {
            self.may_have_none(&mut tx).await?;
            store::delete_codes(&mut tx).await?;
            requirement::store::renew(&mut tx).await?;
        }
        self.record(&mut tx, &change, from).await?;
        tx.commit().await?;
        self.tell(user, change)
    }

    /// Whether somebody's workspaces let them be without a factor.
    async fn may_have_none(&self, tx: &mut UserTx) -> Result<()> {
        if let Some(name) = requirement::store::breaks_glass_of(tx).await? {
            return Err(Error::Refused(format!(
                "You may log in to {name} without its provider, for which you need a second factor, and this is your last \
                 one. Add another first."
            )));
        }
        let asking = requirement::store::asking(tx).await?;
        let Some(first) = asking.first() else { return Ok(()) };
        Err(Error::Refused(format!(
            "{} requires a second factor, and this is your last one. Add another first.",
            first.name
        )))
    }

    /// Takes all factors away, for an operator whom somebody told that they lost them. They log in with their password alone
    /// until they add a new one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reset(&self, user: &User) -> Result<()> {
        let mut tx = self.db.user(user.id).await?;
        requirement::store::hold_rules(&mut tx).await?;
        store::lock_user(&mut tx).await?;
        store::delete_app(&mut tx).await?;
        store::delete_passkeys(&mut tx).await?;
        store::delete_codes(&mut tx).await?;
        requirement::store::renew(&mut tx).await?;
        self.record(&mut tx, &FactorChange::Reset, &Origin::new("", "operator", None)).await?;
        tx.commit().await?;
        self.tell(user, FactorChange::Reset)
    }

    /// Forgets what throttling no longer needs.
    pub fn tidy(&self) {
        self.tries.tidy();
    }

    /// Writes what was changed into the account's history.
    async fn record(&self, tx: &mut UserTx, change: &FactorChange, from: &Origin) -> Result<()> {
        let (kind, about) = match change {
            FactorChange::AppAdded => (Kind::FactorAdded, "authenticator app"),
            FactorChange::AppRemoved => (Kind::FactorRemoved, "authenticator app"),
            FactorChange::PasskeyAdded(name) => (Kind::FactorAdded, name.as_str()),
            FactorChange::PasskeyRemoved(name) => (Kind::FactorRemoved, name.as_str()),
            FactorChange::CodesRenewed => (Kind::RecoveryCodesMade, ""),
            FactorChange::CodeUsed { .. } => (Kind::RecoveryCodeUsed, ""),
            FactorChange::Reset => (Kind::FactorRemoved, "all of them, by an operator"),
        };
        events::record_own(tx, kind, from, about).await
    }

    /// Writes down that somebody who is half in could not show their second factor. Whoever tried has the password, or the
    /// mailbox.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn failed(&self, user: UserId, from: &Origin, with: &str) -> Result<()> {
        let mut tx = self.db.user(user).await?;
        events::record_own(&mut tx, Kind::SecondFactorFailed, from, with).await?;
        Ok(tx.commit().await?)
    }

    /// Mails somebody what was changed, so that they notice what they did not do.
    fn tell(&self, user: &User, change: FactorChange) -> Result<()> {
        let link = format!("{}/account/security", self.console_origin);
        self.mailer.send(Message::factor_changed(&user.email, &user.name, change, link)?);
        Ok(())
    }
}

/// How often codes may be tried. Nothing is locked for good: who waits may try again, and passkeys are not counted, since
/// nobody guesses them.
#[derive(Clone)]
struct Tries {
    /// Per person and network: five at once, then three a minute.
    near: Buckets,
    /// Codes of an app, per person from anywhere: who has the password and many networks gets no further with six digits.
    /// The owner still has passkeys and recovery codes while it is full.
    anywhere: Buckets,
    /// Questions for passkeys, per network.
    questions: Buckets,
}

impl Default for Tries {
    fn default() -> Self {
        Self { near: buckets(5, 3), anywhere: buckets(60, 1), questions: buckets(200, 120) }
    }
}

impl Tries {
    fn take(&self, user: UserId, from: &Origin) -> Result<()> {
        let network = ClientNetwork::of(&from.address);
        take(&self.near, &format!("{user}|{}", network.as_str()))
    }

    fn take_guess(&self, user: UserId, from: &Origin) -> Result<()> {
        self.take(user, from)?;
        take(&self.anywhere, &user.to_string())
    }

    fn tidy(&self) {
        self.near.retain_recent();
        self.anywhere.retain_recent();
        self.questions.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Origin {
        Origin::new(address, "", None)
    }

    #[test]
    fn after_five_tries_one_waits_and_the_owner_elsewhere_does_not() {
        let (tries, ana) = (Tries::default(), UserId::new());
        let (attacker, owner) = (at("198.51.100.7"), at("203.0.113.9"));
        let refused = (0..8).filter(|_| tries.take_guess(ana, &attacker).is_err()).count();
        assert_eq!(refused, 3);
        assert!(matches!(tries.take_guess(ana, &attacker), Err(Error::TooMany(1..=20))));
        assert!(tries.take_guess(ana, &owner).is_ok());
    }

    #[test]
    fn guessing_from_many_networks_ends_and_recovery_codes_still_work() {
        let (tries, ana) = (Tries::default(), UserId::new());
        let network = |n: u32| at(&format!("198.51.{}.{}", n / 200, n % 200));
        let right = (0..200).filter(|n| tries.take_guess(ana, &network(*n)).is_ok()).count();
        assert_eq!(right, 60);
        assert!(tries.take(ana, &network(500)).is_ok());
    }
}
