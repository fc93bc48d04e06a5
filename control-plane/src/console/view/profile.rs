//! A person's own account: profile, sessions and what happened, a new address, a new password.

use askama::Template;

use super::parts::{Field, Moment};
use super::shell::Focus;
use super::tabs::Tabs;

/// An address that waits to be confirmed.
pub struct Pending {
    pub email: String,
    pub until: Moment,
    pub code: Field,
    /// Where the built-in mailbox is, on one machine.
    pub mailbox_url: Option<String>,
}

/// GET and POST /account.
#[derive(Template)]
#[template(path = "profile.html")]
pub struct ProfilePage {
    pub focus: Focus,
    pub tabs: Tabs,
    pub name: Field,
    pub email: String,
    pub pending: Option<Pending>,
    /// When the password was chosen; nothing for who has none.
    pub password_set: Option<Moment>,
    pub member_since: Moment,
}

/// GET and POST /account/email.
#[derive(Template)]
#[template(path = "email_change.html")]
pub struct EmailChangePage {
    pub focus: Focus,
    /// The address there is.
    pub now: String,
    pub email: Field,
}

/// What the page behind a link about an address can say.
pub enum LinkState {
    Ready {
        email: String,
        /// What came to the account since the change that is taken back, and goes with it.
        goes: Vec<String>,
    },
    /// The link belongs to another account than the one that is logged in.
    OtherAccount,
    Dead,
}

impl LinkState {
    /// Of a change that takes nothing away.
    #[must_use]
    pub const fn ready(email: String) -> Self {
        Self::Ready { email, goes: Vec::new() }
    }
}

/// GET and POST of the links that confirm a new address or take the change back.
#[derive(Template)]
#[template(path = "email_link.html")]
pub struct EmailLinkPage {
    pub focus: Focus,
    pub action: &'static str,
    pub token: String,
    pub state: LinkState,
}

impl EmailLinkPage {
    /// Whether the link takes a change back.
    #[must_use]
    pub fn undoes(&self) -> bool {
        self.action.ends_with("/undo")
    }
}

/// GET and POST /account/password.
#[derive(Template)]
#[template(path = "password_change.html")]
pub struct PasswordPage {
    pub focus: Focus,
    pub email: String,
    /// Whether there is a password to change.
    pub has_one: bool,
    pub current: Field,
    pub password: Field,
    pub error: Option<String>,
}

/// A session of the viewer.
pub struct SessionRow {
    pub handle: String,
    /// `Firefox on Windows`.
    pub device: String,
    pub address: String,
    pub method: String,
    pub since: Moment,
    pub seen: Moment,
    pub current: bool,
}

/// Something that happened to the viewer's account.
pub struct EventRow {
    pub at: Moment,
    pub what: &'static str,
    pub about: String,
    pub device: String,
    pub address: String,
}

/// GET /account/sessions.
#[derive(Template)]
#[template(path = "sessions.html")]
pub struct SessionsPage {
    pub focus: Focus,
    pub tabs: Tabs,
    /// The viewer's own session first.
    pub rows: Vec<SessionRow>,
    pub events: Vec<EventRow>,
}

/// What somebody logged in with, from the stored words: `password+app` is "password and authenticator app".
#[must_use]
pub fn login_method(stored: &str) -> String {
    let word = |factor: &str| match factor {
        "password" => "password".to_owned(),
        "mail" => "mail".to_owned(),
        "passkey" => "passkey".to_owned(),
        "app" => "authenticator app".to_owned(),
        "recovery_code" => "recovery code".to_owned(),
        other => other.replace('_', " "),
    };
    stored.split('+').filter(|factor| !factor.is_empty()).map(word).collect::<Vec<_>>().join(" and ")
}

/// GET and POST /reset.
#[derive(Template)]
#[template(path = "reset.html")]
pub struct ResetPage {
    pub focus: Focus,
    pub email: Field,
}

/// GET /reset/sent. The same for a known and an unknown address.
#[derive(Template)]
#[template(path = "reset_sent.html")]
pub struct ResetSentPage {
    pub focus: Focus,
    /// Where the built-in mailbox is, on one machine.
    pub mailbox_url: Option<String>,
}

/// What the page behind a link to a new password can say.
pub enum ResetNewState {
    Ready { email: String, password: Field },
    Dead,
}

/// GET and POST /reset/new.
#[derive(Template)]
#[template(path = "reset_new.html")]
pub struct ResetNewPage {
    pub focus: Focus,
    pub token: String,
    pub state: ResetNewState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_logged_in_with_is_told_in_words() {
        assert_eq!(login_method("password+app"), "password and authenticator app");
        assert_eq!(login_method("mail"), "mail");
        assert_eq!(login_method(""), "");
    }
}
