//! The one way in: whatever somebody proved themselves with, they come through [`proved`], and it alone makes a session theirs.

use serde::{Deserialize, Serialize};
use tower_sessions::Session;

use super::App;
use super::respond::{Page, see_other};
use super::session;
use crate::accounts::User;

/// What somebody proved themselves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Factor {
    Password,
    /// A link or code that was sent to the address.
    Mail,
}

/// Goes on after a first proof of identity: the session becomes the user's, under a new id, and the browser goes to `next`,
/// which must be a path of this console (`session::safe_next`).
///
/// # Errors
/// When the session cannot be stored.
pub(super) async fn proved(_app: &App, session: &Session, user: &User, _by: Factor, next: &str) -> Page {
    session::log_in(session, user.id).await?;
    see_other(next)
}
