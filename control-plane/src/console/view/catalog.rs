//! The catalog: connectors to enable, and each with all its tools before it is enabled.

use askama::Template;

use super::enable::{CredentialField, SetupHelp};
use super::parts::{Access, AccessCounts, Choice};
use super::shell::Shell;
use super::tabs::Tabs;
use crate::connectors::built_in;

/// A place where a connector is already enabled.
#[derive(Clone, Debug)]
pub struct InstalledAs {
    pub id: String,
    pub name: String,
}

/// A connector as the catalog shows it.
#[derive(Clone, Debug)]
pub struct ConnectorCard {
    /// Its name in URLs: `github`.
    pub name: String,
    /// Its name for people: `GitHub`.
    pub title: String,
    /// What it does, in a sentence or two.
    pub summary: String,
    /// Empty for a workspace's own.
    pub category: String,
    pub version: String,
    /// Path of its logo below the static folder.
    pub logo: String,
    pub counts: AccessCounts,
    /// How many of its tools begin switched off.
    pub off: usize,
    /// Hosts it calls: `api.github.com`.
    pub hosts: Vec<String>,
    /// What it needs: `Access token`, `No credential needed`.
    pub auth: String,
    pub installed: Vec<InstalledAs>,
}

impl ConnectorCard {
    /// The path of its logo below the static folder.
    #[must_use]
    pub fn logo(&self) -> &str {
        &self.logo
    }
}

/// The logo of a connector by its name.
pub(super) fn logo(connector: &str) -> String {
    built_in::logo(connector).to_owned()
}

/// GET /w/{slug}/catalog?q=&category=.
#[derive(Template)]
#[template(path = "catalog.html")]
pub struct CatalogPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub q: String,
    pub category: String,
    pub categories: Vec<Choice>,
    pub cards: Vec<ConnectorCard>,
}

/// A tool before it is enabled.
#[derive(Clone, Debug)]
pub struct ToolInfo {
    /// Without the installation's prefix: `list_my_issues`.
    pub name: String,
    pub title: String,
    pub description: String,
    /// Enabling the connector leaves it switched off.
    pub off: bool,
}

/// The tools of one access class.
#[derive(Clone, Debug)]
pub struct ToolGroup {
    pub access: Access,
    pub tools: Vec<ToolInfo>,
    /// Of the class, shown or not.
    pub all: usize,
}

/// GET /w/{slug}/catalog/{connector}.
#[derive(Template)]
#[template(path = "connector.html")]
pub struct ConnectorPage {
    pub shell: Shell,
    pub connector: ConnectorCard,
    /// The harmless classes first.
    pub groups: Vec<ToolGroup>,
    /// The connector's version or content hash, short.
    pub version: String,
    /// What people may ask for, in their words.
    pub prompts: Vec<String>,
    pub category: String,
    /// Documentation of the API.
    pub docs_url: Option<String>,
    /// What has to be given when it is enabled.
    pub credentials: Vec<CredentialField>,
    /// How to get that.
    pub help: SetupHelp,
}
