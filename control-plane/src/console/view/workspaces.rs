//! My workspaces, and a new one.

use askama::Template;
use askama::filters::HtmlSafe;

use super::parts::Field;
use super::shell::{Focus, Role, initials};

/// One workspace of the viewer.
pub struct WorkspaceRow {
    pub slug: String,
    pub name: String,
    pub role: Role,
    /// Whether the viewer may not enter it at present.
    pub suspended: bool,
    /// Host of its endpoint: `acme.example.com`.
    pub host: String,
}

impl WorkspaceRow {
    /// One or two letters for its mark.
    #[must_use]
    pub fn initials(&self) -> String {
        initials(&self.name)
    }
}

/// GET /workspaces.
#[derive(Template)]
#[template(path = "workspaces.html")]
pub struct WorkspacesPage {
    /// With the user.
    pub focus: Focus,
    pub rows: Vec<WorkspaceRow>,
}

/// What is to be said about a slug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlugState {
    /// Nothing typed yet.
    Blank,
    Available,
    /// Taken, reserved or malformed, with the reason and the way out.
    No(String),
}

/// GET /workspaces/check-slug, and the place on the page where the answer stands.
#[derive(Template)]
#[template(path = "parts/slug_answer.html")]
pub struct SlugAnswer {
    pub state: SlugState,
    /// The endpoint as it will be; empty while nothing usable is typed.
    pub endpoint: String,
}

impl HtmlSafe for SlugAnswer {}

/// GET and POST /workspaces/new.
#[derive(Template)]
#[template(path = "workspace_new.html")]
pub struct WorkspaceNewPage {
    /// With the user.
    pub focus: Focus,
    pub name: Field,
    /// Its error is shown in the answer below the field.
    pub slug: String,
    pub answer: SlugAnswer,
    /// What stands before the slug in the endpoint: `https://`.
    pub before: String,
    /// What stands after it: `.example.com/mcp`.
    pub after: String,
    /// Whether this is the person's first, which changes what the page says.
    pub first: bool,
}
