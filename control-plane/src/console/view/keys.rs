//! API keys: the list, a new one, the page that shows it once, and one key with what can be done about it.

use askama::Template;

use super::parts::{Choice, Field, Moment};
use super::shell::{Person, Shell};
use super::tabs::Tabs;

/// Where a key stands in its life.
#[derive(Clone)]
pub enum KeyState {
    /// Until it ends by itself, if it does.
    Works(Option<Moment>),
    Expired(Moment),
    Revoked(Moment),
}

/// One key, of which only the ends are known.
#[derive(Clone)]
pub struct KeyRow {
    pub id: String,
    pub name: String,
    /// The visible start: `tmk_8f2a01bc`.
    pub prefix: String,
    pub last4: String,
    /// A member, or a service account by its name alone.
    pub owner: Person,
    /// The viewer's own.
    pub yours: bool,
    /// Only for tools that only read.
    pub read_only: bool,
    pub created: Moment,
    pub last_used: Option<Moment>,
    /// The address it was last used from.
    pub last_used_from: String,
    pub state: KeyState,
    /// Until when the secret from before the last roll works.
    pub old_until: Option<Moment>,
}

impl KeyRow {
    /// Whether it still works.
    #[must_use]
    pub const fn works(&self) -> bool {
        matches!(self.state, KeyState::Works(_))
    }
}

/// The form that makes a key, here or on the page of a service account.
pub struct KeyForm {
    pub action: String,
    pub name: Field,
    pub expires: Vec<Choice>,
    pub scope: Vec<Choice>,
}

/// GET /w/{slug}/keys.
#[derive(Template)]
#[template(path = "keys.html")]
pub struct KeysPage {
    pub shell: Shell,
    /// `None` for who has no other page here.
    pub tabs: Option<Tabs>,
    /// A member's own; all of them for who manages them.
    pub rows: Vec<KeyRow>,
    pub form: KeyForm,
    /// Where to prove again who one is, before a key can be made.
    pub prove: Option<String>,
}

/// GET /w/{slug}/keys/{id}.
#[derive(Template)]
#[template(path = "key.html")]
pub struct KeyPage {
    pub shell: Shell,
    pub row: KeyRow,
    /// Whether the viewer may give it a new secret.
    pub rolls: bool,
    pub graces: Vec<Choice>,
    /// The list that it stands in.
    pub back: (String, String),
    /// Where to prove again who one is, before it can be rolled.
    pub prove: Option<String>,
}

/// The answer to what makes or rolls a key: the only page that ever shows the secret.
#[derive(Template)]
#[template(path = "key_created.html")]
pub struct KeyCreatedPage {
    pub shell: Shell,
    pub name: String,
    /// In full. The handler takes it from its secret type here and nowhere else.
    pub key: String,
    /// Where to go on.
    pub back: String,
    /// Until when the old secret works, where it was rolled with a grace.
    pub old_until: Option<Moment>,
    /// A key without an end.
    pub endless: bool,
}

impl KeyCreatedPage {
    /// A first request with the key, to be pasted into a terminal.
    #[must_use]
    pub fn snippet(&self) -> String {
        format!(
            "curl {} \\\n  -H 'Authorization: Bearer {}' \\\n  -H 'Content-Type: application/json' \\\n  -H 'Accept: application/json, text/event-stream' \\\n  -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}}'",
            self.shell.endpoint(),
            self.key
        )
    }
}
