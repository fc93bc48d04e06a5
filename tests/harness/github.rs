//! The catalog's GitHub connector, enabled against the emulated GitHub.

use anyhow::{Context as _, Result};

use crate::workspace::Installation;
use crate::{Mcp, System, Workspace, emulate, html};

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

/// The tool that lists the issues assigned to the person whose token it is.
///
/// # Errors
/// When no tool's name says so.
pub async fn assigned_issues_tool(mcp: &Mcp) -> Result<String> {
    let names = mcp.names().await?;
    let found = names.iter().find(|name| name.contains("assigned") || name.contains("my_issues")).cloned();
    found.with_context(|| format!("no tool lists the issues assigned to me: {}", names.join(" ")))
}
