//! Logging in elsewhere: the buttons, the way there, what went wrong, and the question whether an account is theirs.

use std::fmt;

use askama::Template;
use askama::filters::HtmlSafe;

use super::parts::{Field, Moment};
use super::shell::Focus;
use super::tabs::Tabs;

/// A provider's button.
#[derive(Clone, Debug)]
pub struct ProviderButton {
    pub key: String,
    pub name: String,
}

/// A provider's mark, drawn.
pub struct Mark(&'static str);

/// The mark of a provider by its key; a company's is a house.
#[must_use]
pub fn provider_mark(key: &str) -> Mark {
    Mark(match key {
        "google" => {
            r##"<path fill="#4285f4" d="M15.7 8.2c0-.6 0-1-.1-1.5H8v2.9h4.4a3.8 3.8 0 0 1-1.6 2.5v2h2.6c1.5-1.4 2.3-3.4 2.3-5.9z"/><path fill="#34a853" d="M8 16c2.2 0 4-.7 5.3-1.9l-2.5-2c-.7.5-1.6.8-2.8.8a4.8 4.8 0 0 1-4.5-3.3H.8v2.1A8 8 0 0 0 8 16z"/><path fill="#fbbc05" d="M3.5 9.6a4.8 4.8 0 0 1 0-3.1V4.4H.8a8 8 0 0 0 0 7.2z"/><path fill="#ea4335" d="M8 3.2c1.2 0 2.3.4 3.1 1.2l2.3-2.3A8 8 0 0 0 .8 4.4l2.7 2.1A4.8 4.8 0 0 1 8 3.2z"/>"##
        }
        "microsoft" => {
            r##"<path fill="#f25022" d="M1 1h6.6v6.6H1z"/><path fill="#7fba00" d="M8.4 1H15v6.6H8.4z"/><path fill="#00a4ef" d="M1 8.4h6.6V15H1z"/><path fill="#ffb900" d="M8.4 8.4H15V15H8.4z"/>"##
        }
        "github" => {
            r#"<path fill="currentColor" d="M8 .2a8 8 0 0 0-2.5 15.6c.4.1.5-.2.5-.4v-1.3c-2.2.5-2.7-1-2.7-1-.4-.9-.9-1.2-.9-1.2-.7-.5.1-.5.1-.5.8.1 1.2.8 1.2.8.7 1.3 1.9.9 2.3.7.1-.5.3-.9.5-1.1-1.8-.2-3.6-.9-3.6-4 0-.9.3-1.6.8-2.1-.1-.2-.4-1 .1-2.1 0 0 .7-.2 2.2.8a7.5 7.5 0 0 1 4 0c1.5-1 2.2-.8 2.2-.8.4 1.1.2 1.9.1 2.1.5.6.8 1.3.8 2.1 0 3.1-1.9 3.8-3.7 4 .3.3.6.8.6 1.6v2.2c0 .2.1.5.6.4A8 8 0 0 0 8 .2z"/>"#
        }
        _ => {
            r#"<path fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" stroke-linecap="round" d="M2.5 14V3.5l6-1.5v12M8.5 6.5l5 1.25V14M1.5 14h13M5 6h1M5 9h1m-1 3h1m5-2h.01M11 12h.01"/>"#
        }
    })
}

impl HtmlSafe for Mark {}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"<svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">{}</svg>"#, self.0)
    }
}

/// Answer of POST /login/with/{provider} and /login/company: the browser is on its way.
#[derive(Template)]
#[template(path = "leaving.html")]
pub struct LeavingPage {
    pub focus: Focus,
    /// What people call the provider.
    pub name: String,
    pub host: String,
    pub url: String,
}

/// A login elsewhere that came to nothing.
#[derive(Template)]
#[template(path = "sign_in_failed.html")]
pub struct SignInFailedPage {
    pub focus: Focus,
    pub name: String,
    pub text: String,
    /// The label and address of the way back.
    pub back: (String, String),
}

/// GET /login/company.
#[derive(Template)]
#[template(path = "login_company.html")]
pub struct CompanyLoginPage {
    pub focus: Focus,
    /// The name and slug of the workspace, where it is known and has a provider.
    pub workspace: Option<(String, String)>,
    pub next: String,
    pub email: Field,
}

/// What somebody sees whose company wants its own provider.
#[derive(Template)]
#[template(path = "login_required.html")]
pub struct RequiredPage {
    pub focus: Focus,
    pub name: String,
    pub slug: String,
    pub next: String,
}

/// Where the question stands whether an account is theirs.
pub enum OwnerQuestion {
    /// `verified`: there is an account with this address. `log_in`: where to log in as before.
    Ask {
        verified: bool,
        log_in: Option<String>,
    },
    Sent,
    /// The link of the mail, with one button.
    Ready,
}

/// GET and POST /login/link, GET /login/link/confirm.
#[derive(Template)]
#[template(path = "login_link.html")]
pub struct LinkPage {
    pub focus: Focus,
    pub name: String,
    pub email: String,
    pub ticket: String,
    pub error: Option<String>,
    pub state: OwnerQuestion,
    pub mailbox_url: Option<String>,
}

/// GET /account/sign-in/link: after logging in as before.
#[derive(Template)]
#[template(path = "link_accounts.html")]
pub struct LinkTicketPage {
    pub focus: Focus,
    pub name: String,
    /// What the provider calls them.
    pub label: String,
    /// The account here.
    pub email: String,
    pub ticket: String,
}

/// A way in elsewhere.
pub struct IdentityRow {
    /// None for a company's, which is not the person's to remove.
    pub id: Option<String>,
    pub key: String,
    pub name: String,
    pub label: String,
    pub linked: Moment,
    pub used: Option<Moment>,
    /// Whether it is the last way in.
    pub last: bool,
}

/// GET /account/sign-in.
#[derive(Template)]
#[template(path = "account_sign_in.html")]
pub struct AccountSignInPage {
    pub focus: Focus,
    pub tabs: Tabs,
    /// Where to prove again who one is before anything is changed.
    pub prove: Option<String>,
    pub has_password: bool,
    pub rows: Vec<IdentityRow>,
    pub offered: Vec<ProviderButton>,
    pub error: Option<String>,
}
