//! What changes between two versions of a connector, and the page that brings an installation to the newer one.

use askama::Template;

use super::installations::InstallationRow;
use super::parts::Access;
use super::shell::Shell;

/// A tool that comes or goes.
#[derive(Clone, Debug)]
pub struct NotedTool {
    pub name: String,
    pub description: String,
    pub access: Access,
    /// Arrives switched off.
    pub off: bool,
}

/// A tool that is another than before.
#[derive(Clone, Debug)]
pub struct ChangedTool {
    pub name: String,
    pub renamed_from: Option<String>,
    /// Before and after, as are the following.
    pub access: Option<(Access, Access)>,
    pub description: Option<(String, String)>,
    pub call: Option<(String, String)>,
    pub arguments: Vec<String>,
    pub otherwise: bool,
    pub off: bool,
}

/// What is different.
#[derive(Clone, Debug, Default)]
pub struct ChangesView {
    pub added: Vec<NotedTool>,
    pub added_all: usize,
    pub removed: Vec<NotedTool>,
    pub removed_all: usize,
    pub changed: Vec<ChangedTool>,
    pub changed_all: usize,
    pub auth: bool,
    pub new_credentials: Vec<String>,
    pub base_url: Option<(String, String)>,
}

impl ChangesView {
    /// What another way of authenticating asks for.
    #[must_use]
    pub fn auth_words(&self) -> String {
        let mut words = "It authenticates in another way.".to_owned();
        if !self.new_credentials.is_empty() {
            words.push_str(&format!(
                " Give it these credentials after the update: {}.",
                self.new_credentials.join(", ")
            ));
        }
        words
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && !self.auth
            && self.base_url.is_none()
    }
}

/// GET and POST /w/{slug}/connectors/{id}/update.
#[derive(Template)]
#[template(path = "update.html")]
pub struct UpdatePage {
    pub shell: Shell,
    pub id: String,
    pub row: InstallationRow,
    /// Of the newer version; empty where there is none.
    pub hash: String,
    pub version: String,
    /// The installation's own.
    pub base_url: String,
    pub changes: Option<ChangesView>,
    pub error: Option<String>,
}

impl UpdatePage {
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        self.shell.path(&format!("/connectors/{}{rest}", self.id))
    }
}
