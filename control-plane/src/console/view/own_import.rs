//! Picking operations of an OpenAPI document.

use askama::Template;

use super::parts::{Choice, Field};
use super::shell::Shell;

/// One operation.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// Its place in the document, which the form sends.
    pub index: usize,
    /// Of its tool.
    pub name: String,
    pub summary: String,
    /// `GET /pets/{id}`.
    pub key: String,
    pub tags: String,
    pub deprecated: bool,
    /// Why it cannot be picked.
    pub problem: Option<String>,
    pub picked: bool,
    pub access: Vec<Choice>,
}

/// GET and POST /w/{slug}/own/openapi/{import}.
#[derive(Template)]
#[template(path = "own_import.html")]
pub struct ImportPage {
    pub shell: Shell,
    pub id: String,
    pub title: String,
    /// The file's name or the address.
    pub origin: String,
    /// `OpenAPI 3.1.0`.
    pub format: String,
    /// Empty where each installation names its own.
    pub base_url: String,
    pub rows: Vec<ImportRow>,
    /// Operations that fit the filter, and all of them.
    pub found: usize,
    pub all: usize,
    pub picked: usize,
    /// More are picked than a model chooses from well.
    pub many: bool,
    /// From 0.
    pub page: usize,
    pub pages: usize,
    pub q: String,
    pub tag: String,
    pub tags: Vec<Choice>,
    pub access: String,
    pub classes: Vec<Choice>,
    /// `picked` to show these alone.
    pub show: String,
    /// The connector's own name.
    pub name: Field,
}

impl ImportPage {
    #[must_use]
    pub fn path(&self) -> String {
        self.shell.path(&format!("/own/openapi/{}", self.id))
    }

    /// Whether fewer than all operations are shown.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        !(self.q.is_empty() && self.tag.is_empty() && self.access.is_empty() && self.show.is_empty())
    }
}
