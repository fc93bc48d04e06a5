//! Sign-up, verification and login.

use askama::Template;

use super::parts::Field;
use super::path::CallPath;
use super::shell::Focus;
use super::sign_in::ProviderButton;

/// GET and POST /signup.
#[derive(Template)]
#[template(path = "signup.html")]
pub struct SignupPage {
    pub focus: Focus,
    pub name: Field,
    pub email: Field,
    /// The value stays empty: a password is never printed.
    pub password: Field,
    /// What is wrong with the whole, such as too many attempts.
    pub error: Option<String>,
    /// Where to go afterwards, kept through the form. Empty for the usual way.
    pub next: String,
    pub path: CallPath,
    /// Where people can log in besides here.
    pub providers: Vec<ProviderButton>,
}

impl SignupPage {
    /// The form as it is first shown.
    #[must_use]
    pub fn new(focus: Focus) -> Self {
        Self {
            focus,
            name: Field::empty(),
            email: Field::empty(),
            password: Field::empty(),
            error: None,
            next: String::new(),
            path: CallPath::explained(),
            providers: Vec::new(),
        }
    }
}

/// GET /signup/sent. The same for a known and an unknown address.
#[derive(Template)]
#[template(path = "signup_sent.html")]
pub struct SignupSentPage {
    pub focus: Focus,
    /// The address as typed, where the session still knows it.
    pub email: Option<String>,
    /// How long the link works, in words: `an hour`.
    pub valid_for: &'static str,
    /// The code of the mail, as typed.
    pub code: Field,
    /// Seconds until the mail can be sent again.
    pub wait: i64,
    /// Where the built-in mailbox is, on one machine.
    pub mailbox_url: Option<String>,
}

/// What the verification page can say.
pub enum VerifyState {
    /// One button; with the password when this is another browser than the one that signed up.
    Ready { password: Option<Field> },
    /// The link is too old, has been used, or is not one of ours: one answer, since it must not tell which.
    Dead,
}

/// GET and POST /verify.
#[derive(Template)]
#[template(path = "verify.html")]
pub struct VerifyPage {
    pub focus: Focus,
    pub token: String,
    /// The address that is being verified, where it may be shown.
    pub email: Option<String>,
    pub state: VerifyState,
}

/// GET and POST /login.
#[derive(Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    pub focus: Focus,
    pub email: Field,
    /// Where to go afterwards; kept through the form. Empty for the usual way.
    pub next: String,
    /// Why the login is needed, when the person was on the way to something: `Claude wants to use Acme's tools.`
    pub reason: Option<String>,
    /// What is wrong with the whole; never which half was wrong.
    pub error: Option<String>,
    /// Whether passkeys work at the console's address.
    pub passkeys: bool,
    /// Where people can log in besides here.
    pub providers: Vec<ProviderButton>,
    /// The workspace that they are on the way to, where that is known.
    pub workspace: String,
}

impl LoginPage {
    /// The form as it is first shown.
    #[must_use]
    pub fn new(focus: Focus, next: impl Into<String>) -> Self {
        let (email, providers, workspace) = (Field::empty(), Vec::new(), String::new());
        Self {
            focus,
            email,
            next: next.into(),
            reason: None,
            error: None,
            passkeys: false,
            providers,
            workspace,
        }
    }

    /// What the browser may offer beside the address: passkeys too, unless the last try was refused and would be again.
    #[must_use]
    pub const fn autocomplete(&self) -> &'static str {
        if self.passkeys && self.error.is_none() { "username webauthn" } else { "username" }
    }
}

/// GET and POST /account/confirm: proving again who one is.
#[derive(Template)]
#[template(path = "confirm.html")]
pub struct ConfirmPage {
    pub focus: Focus,
    /// The password's field; nothing for somebody who has no password.
    pub password: Option<Field>,
    /// Another way: logging in again, and back.
    pub log_in_again: String,
    pub email: String,
    /// Whether the person has a passkey to prove it with.
    pub passkeys: bool,
    /// Where to go afterwards.
    pub next: String,
}
