//! Taking an account back: the owner of its old address undoes a change of address that was not theirs.
//!
//! Whoever changed the address had the account for a while. What came to it since goes with the change: sessions, the password,
//! ways to log in, second factors, connected apps, API keys, and ways back to addresses it had in between. What was there before
//! stays.

mod store;

use time::OffsetDateTime;

use super::events::{self, Kind};
use super::origin::Origin;
use super::throttle::ClientNetwork;
use super::{Accounts, members, sessions};
use crate::credentials::token;
use crate::error::{Error, OnConstraint as _, Result};
use crate::revocations;

pub use store::Came;

/// A change of address that can be undone.
#[derive(Clone, Debug)]
pub struct Undo {
    /// The address that the account gets again.
    pub email: String,
    pub changed_at: OffsetDateTime,
    /// What came to the account since, and goes.
    pub came: Vec<Came>,
}

impl Came {
    /// What its disappearance is called in the account's history.
    const fn kind(&self) -> Kind {
        match self {
            Self::App | Self::Passkey(_) => Kind::FactorRemoved,
            Self::Identity { .. } => Kind::IdentityUnlinked,
            Self::Key(_) => Kind::KeyRevoked,
        }
    }

    fn about(&self) -> String {
        match self {
            Self::App => "authenticator app".to_owned(),
            Self::Passkey(name) | Self::Key(name) => name.clone(),
            Self::Identity { provider, label } => format!("{provider} ({label})"),
        }
    }
}

impl Accounts {
    /// The change that a link to the old address would take back, while it is good.
    ///
    /// # Errors
    /// `Gone` for a link that is dead.
    pub async fn undoable(&self, token: &str) -> Result<Undo> {
        let mut tx = self.db.global().await?;
        let change = store::undoable(&mut tx, &token::hash(token)).await?.ok_or_else(dead)?;
        let came = store::came_since(&mut tx, change.user_id, change.changed_at).await?;
        Ok(Undo { email: change.email, changed_at: change.changed_at, came })
    }

    /// Gives an account back to the owner of its old address: the address is the old one again, what came since is gone, all
    /// sessions and connected apps end, and the password is gone, so that whoever changed the address cannot come back. The
    /// owner sets a new one by mail.
    ///
    /// # Errors
    /// `Gone` for a link that is dead; `Refused` when the old address has an account of its own by now.
    pub async fn undo_email_change(&self, token: &str, from: &Origin) -> Result<()> {
        let mut tx = self.db.global().await?;
        let change = store::use_undo(&mut tx, &token::hash(token)).await?.ok_or_else(dead)?;
        let (user, since) = (change.user_id, change.changed_at);
        super::store::set_email(&mut tx, user, &change.email)
            .await
            .on_constraint("users_email_key", || {
                Error::Refused("The old address has an account of its own by now.".to_owned())
            })?;
        super::store::clear_password(&mut tx, user).await?;
        super::store::end_email_changes(&mut tx, user).await?;
        super::store::end_resets(&mut tx, user).await?;
        let came = store::came_since(&mut tx, user, since).await?;
        store::remove_since(&mut tx, user, since).await?;
        sessions::end_all(&mut tx, user).await?;
        let reason = "the account was taken back";
        let ended = revocations::revoke_everywhere(tx.conn(), user, reason).await?;
        let about = format!("back to {}", change.email);
        events::record(&mut tx, user, Kind::EmailChanged, from, &about).await?;
        for one in &came {
            events::record(&mut tx, user, one.kind(), from, &one.about()).await?;
        }
        tx.commit().await?;
        tracing::info!(%user, grants = ended.grants, removed = came.len(), "account taken back");
        // With a new bundle, nodes learn of the address, of keys that ended, and of second factors that are gone.
        members::renew_workspaces_of(&self.db, user).await?;
        self.ask_reset(&change.email, &ClientNetwork::of(&from.address)).await
    }
}

fn dead() -> Error {
    Error::Gone("This link has been used or is too old.")
}
