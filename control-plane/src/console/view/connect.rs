//! The connection of an installation to an account at its provider, as its page shows it, and a way there that failed.

use askama::Template;

use super::parts::{Field, Moment};
use super::shell::{Focus, Person};

/// What an installation's page says of its access tokens.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Where the provider sends people back to, where somebody has to log in there.
    pub redirect_uri: Option<String>,
    pub connected: bool,
    /// Whose account it is, as far as the provider says.
    pub account: String,
    pub by: Option<Person>,
    pub at: Option<Moment>,
    pub scopes: Vec<String>,
    /// When the access token was got, and when it ends; without an end where the provider names none.
    pub obtained: Option<Moment>,
    pub expires: Option<Moment>,
    /// Whether the next one is got without anybody.
    pub renewable: bool,
    /// What keeps tokens from being got and what to do.
    pub problem: Option<String>,
    /// The credentials that a connection begins with are there.
    pub ready: bool,
    /// Its authorization server is found, and this ToolMesh registers there by itself where it can.
    pub found: bool,
}

/// The authorization server of an MCP server, and this ToolMesh as its client.
#[derive(Clone, Debug)]
pub struct ProviderView {
    pub issuer: String,
    /// Empty before there is one.
    pub client_id: String,
    pub entered: bool,
    /// The provider registers no clients by itself.
    pub has_to_be_entered: bool,
    pub redirect_uri: String,
    pub field: Field,
    pub secret: Field,
}

impl ProviderView {
    /// Whether the form stands open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.has_to_be_entered || self.field.error.is_some() || self.secret.error.is_some()
    }
}

impl Connection {
    /// Whether a person connects it.
    #[must_use]
    pub const fn by_consent(&self) -> bool {
        self.redirect_uri.is_some()
    }

    /// What the button says.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        if self.connected || self.problem.is_some() { "Reconnect" } else { "Connect" }
    }

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
}

/// A connection that was not made.
#[derive(Template)]
#[template(path = "connect_failed.html")]
pub struct ConnectFailedPage {
    pub focus: Focus,
    /// What people call the provider.
    pub name: String,
    pub text: String,
    /// The way back: what it is called, and its path.
    pub back: (String, String),
}
