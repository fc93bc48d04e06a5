//! The one way in: whatever somebody proved themselves with, they come through [`proved`], and it alone makes a session theirs.

use serde::{Deserialize, Serialize};

use super::App;
use super::respond::{Page, see_other};
use super::session::{self, Visitor};
use crate::accounts::User;

/// What somebody proved themselves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Factor {
    Password,
    /// A link or code that was sent to the address.
    Mail,
}

impl Factor {
    /// The word that sessions and events are kept with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Mail => "mail",
        }
    }
}

/// Goes on after a first proof of identity: the session becomes the user's, under a new id, and the browser goes to `next`,
/// which must be a path of this console (`session::safe_next`).
///
/// # Errors
/// When the session cannot be stored.
pub(super) async fn proved(app: &App, visitor: &Visitor, user: &User, by: Factor, next: &str) -> Page {
    finish(app, visitor, user, &[by], next).await
}

/// The end of every login, when all the proofs that are asked of this user have been given.
async fn finish(app: &App, visitor: &Visitor, user: &User, by: &[Factor], next: &str) -> Page {
    session::log_in(visitor, user.id, by).await?;
    let words: Vec<_> = by.iter().map(|factor| factor.as_str()).collect();
    app.accounts.logged_in(user, &words.join("+"), &visitor.origin).await?;
    see_other(next)
}
