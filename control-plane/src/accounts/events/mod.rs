//! What happened to somebody's account: kept for a year, shown to that person alone, and the grave of it mailed to them.

pub mod store;

use serde_json::{Value, json};
use time::OffsetDateTime;
use toolmesh_proto::ids::UserId;

use super::origin::Origin;
use super::{Accounts, User};
use crate::db::{Db, GlobalTx, TenantTx, UserTx};
use crate::error::Result;
use crate::mail::{Message, Notice};

/// Most that are shown at once.
const SHOWN: i64 = 50;

/// Kinds of events. The word in the database is [`Kind::as_str`]'s and stays what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    LoggedIn,
    SecondFactorFailed,
    PasswordChanged,
    PasswordReset,
    EmailChanged,
    SessionEnded,
    OtherSessionsEnded,
    FactorAdded,
    FactorRemoved,
    RecoveryCodesMade,
    RecoveryCodeUsed,
    IdentityLinked,
    IdentityUnlinked,
    KeyMade,
    KeyRevoked,
    RoleChanged,
    Suspended,
    LetIn,
    MembershipEnded,
    WorkspaceHandedOver,
    SignedOutEverywhere,
}

impl Kind {
    const ALL: [Self; 21] = [
        Self::LoggedIn,
        Self::SecondFactorFailed,
        Self::PasswordChanged,
        Self::PasswordReset,
        Self::EmailChanged,
        Self::SessionEnded,
        Self::OtherSessionsEnded,
        Self::FactorAdded,
        Self::FactorRemoved,
        Self::RecoveryCodesMade,
        Self::RecoveryCodeUsed,
        Self::IdentityLinked,
        Self::IdentityUnlinked,
        Self::KeyMade,
        Self::KeyRevoked,
        Self::RoleChanged,
        Self::Suspended,
        Self::LetIn,
        Self::MembershipEnded,
        Self::WorkspaceHandedOver,
        Self::SignedOutEverywhere,
    ];

    /// The word in the database, what people read, and whether they are told by mail.
    const fn look(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::LoggedIn => ("logged_in", "Logged in", false),
            Self::SecondFactorFailed => ("second_factor_failed", "Second factor refused", false),
            Self::PasswordChanged => ("password_changed", "Password changed", true),
            Self::PasswordReset => ("password_reset", "Password reset by mail", true),
            // Told to the old address, with the words of its own.
            Self::EmailChanged => ("email_changed", "Email changed", false),
            Self::SessionEnded => ("session_ended", "Session ended", false),
            Self::OtherSessionsEnded => ("other_sessions_ended", "All other sessions ended", false),
            Self::FactorAdded => ("factor_added", "Second factor added", true),
            Self::FactorRemoved => ("factor_removed", "Second factor removed", true),
            Self::RecoveryCodesMade => ("recovery_codes_made", "New recovery codes made", true),
            Self::RecoveryCodeUsed => ("recovery_code_used", "Recovery code used", true),
            Self::IdentityLinked => ("identity_linked", "Way to log in added", true),
            Self::IdentityUnlinked => ("identity_unlinked", "Way to log in removed", true),
            Self::KeyMade => ("key_made", "API key made", false),
            Self::KeyRevoked => ("key_revoked", "API key revoked", false),
            // What is done with members is told in words of its own.
            Self::RoleChanged => ("role_changed", "Role in a workspace changed", false),
            Self::Suspended => ("suspended", "Suspended in a workspace", false),
            Self::LetIn => ("let_in", "Let in to a workspace again", false),
            Self::MembershipEnded => ("membership_ended", "Membership of a workspace ended", false),
            Self::WorkspaceHandedOver => ("workspace_handed_over", "Workspace handed over", false),
            Self::SignedOutEverywhere => ("signed_out_everywhere", "Signed out everywhere", true),
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.look().0
    }

    /// What people read of an event by its stored word.
    #[must_use]
    pub fn words(stored: &str) -> &'static str {
        Self::ALL
            .iter()
            .map(|kind| kind.look())
            .find(|look| look.0 == stored)
            .map_or("Something else", |l| l.1)
    }
}

/// An event as its person sees it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Event {
    pub at: OffsetDateTime,
    pub kind: String,
    pub address: String,
    pub device: String,
    details: Value,
}

impl Event {
    /// What it was about: the name of a key, a browser, a way to log in. Empty where the kind says it all.
    #[must_use]
    pub fn about(&self) -> &str {
        self.details.get("about").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Writes an event in the transaction that does the thing. `about` names what it was done to, never a secret.
///
/// # Errors
/// When the database fails.
pub async fn record(tx: &mut GlobalTx, user: UserId, kind: Kind, from: &Origin, about: &str) -> Result<()> {
    store::insert(tx.conn(), user, kind.as_str(), from, details(about)).await
}

/// The same in a transaction of the person's own.
///
/// # Errors
/// When the database fails.
pub async fn record_own(tx: &mut UserTx, kind: Kind, from: &Origin, about: &str) -> Result<()> {
    let user = tx.user();
    store::insert(tx.conn(), user, kind.as_str(), from, details(about)).await
}

/// The same in the transaction of a workspace that the person belongs to, or did until now.
///
/// # Errors
/// When the database fails.
pub async fn record_of_member(
    tx: &mut TenantTx,
    user: UserId,
    kind: Kind,
    from: &Origin,
    about: &str,
) -> Result<()> {
    store::insert(tx.conn(), user, kind.as_str(), from, details(about)).await
}

fn details(about: &str) -> Value {
    if about.is_empty() { json!({}) } else { json!({ "about": about }) }
}

/// The newest events of a person, for that person.
///
/// # Errors
/// When the database fails.
pub async fn recent(db: &Db, user: UserId) -> Result<Vec<Event>> {
    store::recent(&mut db.global().await?, user, SHOWN).await
}

impl Accounts {
    /// Records what was done to an account in a transaction of its own, and mails the person where the kind is grave.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn happened(&self, user: &User, kind: Kind, from: &Origin, about: &str) -> Result<()> {
        let mut tx = self.db.global().await?;
        record(&mut tx, user.id, kind, from, about).await?;
        tx.commit().await?;
        self.tell(user, kind, from, about)
    }

    /// Mails the person where the kind is grave; for who has recorded the event already.
    ///
    /// # Errors
    /// When the mail cannot be written.
    pub fn tell(&self, user: &User, kind: Kind, from: &Origin, about: &str) -> Result<()> {
        let (_, words, mailed) = kind.look();
        if mailed {
            let what = if about.is_empty() { words.to_owned() } else { format!("{words}: {about}") };
            self.send_notice(user, &what, from)?;
        }
        Ok(())
    }

    /// Records a login, and mails the person where neither the browser nor its kind at this address has been seen before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn logged_in(&self, user: &User, by: &str, from: &Origin) -> Result<()> {
        let mut tx = self.db.global().await?;
        let strange = store::is_new_device(&mut tx, user.id, from).await?;
        record(&mut tx, user.id, Kind::LoggedIn, from, by).await?;
        tx.commit().await?;
        if strange {
            self.send_notice(user, "Login from a new device", from)?;
        }
        Ok(())
    }

    fn send_notice(&self, user: &User, what: &str, from: &Origin) -> Result<()> {
        let notice = Notice {
            to: &user.email,
            name: &user.name,
            what,
            device: &from.device(),
            address: &from.address,
            link: format!("{}/account/sessions", self.console_origin),
        };
        self.mailer.send(Message::notice(notice)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_in_words_and_no_two_share_one() {
        let mut words: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert!(words.iter().all(|word| Kind::words(word) != "Something else"));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Kind::ALL.len());
    }
}
