//! API keys: the list, a new one, and the page that shows it once.

use askama::Template;

use super::parts::{Field, Moment};
use super::shell::{Person, Shell};

/// One key, of which only the ends are known.
pub struct KeyRow {
    pub id: String,
    pub name: String,
    /// The visible start: `tmk_8f2a`.
    pub prefix: String,
    pub last4: String,
    pub owner: Person,
    /// The viewer's own.
    pub yours: bool,
    pub created: Moment,
    pub last_used: Option<Moment>,
    pub revoked: Option<Moment>,
}

/// GET /w/{slug}/keys.
#[derive(Template)]
#[template(path = "keys.html")]
pub struct KeysPage {
    pub shell: Shell,
    /// A member's own; all of them for owners and admins.
    pub rows: Vec<KeyRow>,
    pub name: Field,
    /// Where to prove again who one is, before a key can be made.
    pub prove: Option<String>,
}

/// The answer to POST /w/{slug}/keys: the only page that ever shows the key.
#[derive(Template)]
#[template(path = "key_created.html")]
pub struct KeyCreatedPage {
    pub shell: Shell,
    pub name: String,
    /// In full. The handler takes it from its secret type here and nowhere else.
    pub key: String,
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
