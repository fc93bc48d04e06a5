//! Connected apps, and the question before several are ended.

use askama::Template;

use super::parts::{Choice, Field, Moment};
use super::shell::{Person, Shell};

/// One app that one person has let in.
pub struct ConnectionRow {
    pub id: String,
    /// The client's own name for itself.
    pub app: String,
    /// Where it takes what it gets.
    pub host: String,
    pub person: Person,
    pub yours: bool,
    pub scope: String,
    pub since: Moment,
    /// The last call; `None` before the first.
    pub last_used: Option<Moment>,
}

/// GET /w/{slug}/connected-apps.
#[derive(Template)]
#[template(path = "connected_apps.html")]
pub struct ConnectedAppsPage {
    pub shell: Shell,
    pub rows: Vec<ConnectionRow>,
    /// Sees everybody's, and may end them.
    pub manages: bool,
    /// There are more than the page shows.
    pub cut: bool,
    pub users: Vec<Choice>,
    pub clients: Vec<Choice>,
    pub filtered: bool,
    /// Where to end all that the filter shows; all of a workspace without one.
    pub end: String,
}

/// GET and POST /w/{slug}/connected-apps/end.
#[derive(Template)]
#[template(path = "end_connections.html")]
pub struct EndConnectionsPage {
    pub shell: Shell,
    pub title: String,
    pub consequences: Vec<String>,
    /// There is nothing to end.
    pub nothing: bool,
    /// API keys that can be ended along.
    pub api_keys: i64,
    /// What was typed to confirm, where that is asked for.
    pub confirm: Option<Field>,
    pub prove: Option<String>,
    pub back: String,
    pub client: String,
    pub user: String,
}

impl EndConnectionsPage {
    /// What is to be typed.
    #[must_use]
    pub fn confirm_label(&self) -> String {
        format!("Type {} to confirm", self.shell.workspace.slug)
    }
}
