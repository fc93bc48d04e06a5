//! The catalog's GitHub connector, enabled against the emulated GitHub.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::emulate::REPOSITORY;
use crate::workspace::Installation;
use crate::{System, Workspace, emulate, html};

/// The tool that lists a repository's issues.
pub const LIST_ISSUES: &str = "github_list_issues";

/// Its arguments for the issues assigned to the person whose token it is. (`github_list_my_issues` asks `/issues`, which the
/// emulated GitHub does not have.)
#[must_use]
pub fn assigned_to_me() -> Value {
    let (owner, repo) = REPOSITORY.split_once('/').unwrap_or_default();
    json!({"owner": owner, "repo": repo, "assignee": "admin"})
}

/// The name of the one credential of a connector of the catalog, as its form calls it.
///
/// # Errors
/// When the form asks for none.
pub fn credential_field(page: &str) -> Result<String> {
    let tags = html::tags(page);
    let mut names = tags.iter().filter_map(|tag| tag.attribute("name"));
    let found = names.find(|name| name.starts_with("credential."));
    found.map(str::to_owned).context("the page asks for no credential")
}

impl System {
    /// Enables the catalog's GitHub connector under the name `github`, with the emulated service's address and token.
    ///
    /// # Errors
    /// When the catalog or the command line refuse.
    pub async fn enable_github(&self, workspace: &Workspace, url: &str) -> Result<Installation> {
        let console = self.console(&workspace.owner).await?;
        let page = console.visit(&format!("/w/{}/catalog/github/enable", workspace.slug)).await?.ok()?;
        let field = credential_field(&page.body)?;
        let name = field.trim_start_matches("credential.");
        self.enable(&workspace.slug, &["--connector", "github", "--base-url", url], &[(name, emulate::TOKEN)])
            .await
    }
}
