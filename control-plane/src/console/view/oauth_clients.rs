//! OAuth clients of a workspace: the list, one of them, registering one by hand, the rules, and what was refused.

use askama::Template;

use super::oauth::Vouched;
use super::parts::{Choice, Field, Moment};
use super::shell::Shell;
use super::tabs::Tabs;

/// Whether a client may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    Allowed,
    Blocked,
    Waiting,
}

impl ClientState {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Blocked => "blocked",
            Self::Waiting => "waits for you",
        }
    }

    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Allowed => "fine",
            Self::Blocked => "danger",
            Self::Waiting => "attention",
        }
    }
}

/// A client in the list.
pub struct ClientRow {
    /// Names it in paths.
    pub handle: String,
    pub name: String,
    pub vouched: Vouched,
    /// Where people are sent.
    pub hosts: Vec<String>,
    pub state: ClientState,
    pub first_seen: Moment,
    pub last_seen: Option<Moment>,
    pub users: i64,
    /// Times it registered itself.
    pub registrations: i64,
}

impl ClientRow {
    /// How it is known, in a few words.
    #[must_use]
    pub fn known(&self) -> String {
        match &self.vouched {
            Vouched::Host(host) => format!("published by {host}"),
            Vouched::Admin => "registered by hand".to_owned(),
            Vouched::Nobody if self.registrations > 1 => {
                format!("registered itself, {} times", self.registrations)
            }
            Vouched::Nobody => "registered itself".to_owned(),
        }
    }
}

/// GET /w/{slug}/clients.
#[derive(Template)]
#[template(path = "clients.html")]
pub struct ClientsPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub rows: Vec<ClientRow>,
}

impl ClientsPage {
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rows.iter().filter(|row| row.state == ClientState::Waiting).count()
    }
}

/// What is known of a secret.
pub struct SecretFact {
    pub last4: String,
    pub made: Moment,
    pub ends: Option<Moment>,
}

/// GET /w/{slug}/clients/{handle}.
#[derive(Template)]
#[template(path = "client.html")]
pub struct ClientPage {
    pub shell: Shell,
    pub row: ClientRow,
    pub client_id: String,
    /// How it proves who it is, in words.
    pub proves: String,
    pub redirects: Vec<String>,
    /// Where its keys are, or how many it has.
    pub keys: Option<String>,
    pub created_by: Option<String>,
    pub by_hand: bool,
    pub uses_secret: bool,
    pub secrets: Vec<SecretFact>,
    pub overlaps: Vec<Choice>,
    pub redirects_form: Field,
}

impl ClientPage {
    /// A path below the client's own.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        self.shell.path(&format!("/clients/{}{rest}", self.row.handle))
    }
}

/// GET and POST /w/{slug}/clients/new.
#[derive(Template)]
#[template(path = "client_new.html")]
pub struct ClientNewPage {
    pub shell: Shell,
    pub name: Field,
    pub redirects: Field,
    pub methods: Vec<Choice>,
    pub keys: Field,
    /// What was wrong with the whole.
    pub problem: Option<String>,
}

/// The answer to a new client or secret: the only page that ever shows the secret.
#[derive(Template)]
#[template(path = "client_created.html")]
pub struct ClientCreatedPage {
    pub shell: Shell,
    pub name: String,
    pub client_id: String,
    /// In full. The handler takes it from its secret type here and nowhere else.
    pub secret: Option<String>,
    /// The client's page.
    pub next: String,
    /// What to do with the ones before it.
    pub before: String,
}

/// GET and POST /w/{slug}/settings/clients.
#[derive(Template)]
#[template(path = "settings_clients.html")]
pub struct ClientRulesPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub policies: Vec<PolicyChoice>,
    pub hosts: Field,
    pub problem: Option<String>,
}

/// One of the rules.
pub struct PolicyChoice {
    pub value: &'static str,
    pub label: &'static str,
    pub meaning: &'static str,
    pub chosen: bool,
}

/// Something that was refused.
pub struct RefusalRow {
    pub at: Moment,
    /// `Log in`, `Get a token`.
    pub doing: &'static str,
    /// The client's name, or its id where the name is not known.
    pub client: String,
    pub reason: String,
    pub advice: &'static str,
    pub error: String,
    pub from: String,
    pub times: i32,
}

/// GET /w/{slug}/clients/refusals.
#[derive(Template)]
#[template(path = "refusals.html")]
pub struct RefusalsPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub rows: Vec<RefusalRow>,
}
