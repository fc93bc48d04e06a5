//! The accounts that a member connects for themselves: the list, one of them, and the choice of whose account is used.

use askama::Template;

use super::enable::CredentialField;
use super::parts::{Choice, Moment};
use super::shell::Shell;

/// A member's own account at a connector, or that it waits for them.
#[derive(Clone, Debug)]
pub struct OwnConnection {
    /// The installation's id.
    pub id: String,
    pub name: String,
    pub connector: String,
    pub title: String,
    pub host: String,
    pub connected: bool,
    /// What keeps it from being used and what to do.
    pub problem: Option<String>,
    /// Whose account it is, as far as the provider says.
    pub account: String,
    pub at: Option<Moment>,
    pub expires: Option<Moment>,
    /// Whether an access token is replaced without anybody.
    pub renewable: bool,
    pub scopes: Vec<String>,
    /// Service accounts that the viewer made may use it.
    pub lent: bool,
}

impl OwnConnection {
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match (&self.problem, self.connected) {
            (Some(_), _) => "Needs attention",
            (None, true) => "Connected",
            (None, false) => "Not connected",
        }
    }

    #[must_use]
    pub const fn tone(&self) -> &'static str {
        match (&self.problem, self.connected) {
            (Some(_), _) => "danger",
            (None, true) => "fine",
            (None, false) => "attention",
        }
    }

    /// What the button says.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        if self.connected || self.problem.is_some() { "Reconnect" } else { "Connect" }
    }

    /// The path of its logo below the static folder.
    #[must_use]
    pub fn logo(&self) -> String {
        super::catalog::logo(&self.connector)
    }
}

/// GET /w/{slug}/connections.
#[derive(Template)]
#[template(path = "connections.html")]
pub struct ConnectionsPage {
    pub shell: Shell,
    pub rows: Vec<OwnConnection>,
}

impl ConnectionsPage {
    /// How many wait for the viewer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rows.iter().filter(|row| !row.connected || row.problem.is_some()).count()
    }
}

/// GET /w/{slug}/connections/{id}.
#[derive(Template)]
#[template(path = "connection.html")]
pub struct OwnConnectionPage {
    pub shell: Shell,
    pub of: OwnConnection,
    /// Empty where the viewer logs in at the provider.
    pub fields: Vec<CredentialField>,
    /// What was entered: a label, and the end of the secret.
    pub entered: Vec<(String, String)>,
    /// Where to prove again who one is, before anything can be connected.
    pub prove: Option<String>,
}

impl OwnConnectionPage {
    /// A path of this connection: `page.path("/connect")`.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        self.shell.path(&format!("/connections/{}{rest}", self.of.id))
    }
}

/// Whose account an installation uses, on its page.
#[derive(Clone, Debug)]
pub struct AccountsView {
    /// `workspace`, `personal`.
    pub choices: Vec<Choice>,
    pub personal: bool,
    /// How many members have connected one.
    pub connected: i64,
}
