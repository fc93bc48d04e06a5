//! A workspace's settings.

use askama::Template;

use super::parts::{Choice, Field, Moment};
use super::shell::Shell;
use super::tabs::Tabs;

/// GET and POST /w/{slug}/settings.
#[derive(Template)]
#[template(path = "settings.html")]
pub struct SettingsPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub name: Field,
    pub tenant_id: String,
    pub created: Moment,
}

/// GET and POST /w/{slug}/settings/access.
#[derive(Template)]
#[template(path = "settings_access.html")]
pub struct AccessPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub writes_need_scope: bool,
    pub strict_when_cut_off: bool,
}

/// GET /w/{slug}/settings/endpoint, and POST below it.
#[derive(Template)]
#[template(path = "settings_endpoint.html")]
pub struct EndpointPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub origins: Field,
    pub tenant_per_minute: Field,
    pub caller_per_minute: Field,
    pub api_key_per_minute: Field,
    pub challenge: Field,
    /// Where the challenge is served.
    pub challenge_url: String,
    /// Tools that could be `search`; the first is none.
    pub search: Vec<Choice>,
    pub fetch: Vec<Choice>,
    pub alias_problem: Option<String>,
}

/// One trusted identity provider.
pub struct IdentityProviderRow {
    pub id: String,
    pub issuer: String,
    pub jwks_uri: String,
    /// None for all.
    pub client_ids: Vec<String>,
    pub added: Moment,
    pub added_by: String,
    pub last_used: Option<Moment>,
    /// Members it has vouched for.
    pub people: i64,
}

/// GET and POST /w/{slug}/settings/identity-providers.
#[derive(Template)]
#[template(path = "settings_identity_providers.html")]
pub struct IdentityProvidersPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub rows: Vec<IdentityProviderRow>,
    /// The domains that the workspace has proven; the providers speak for their addresses alone.
    pub domains: Vec<String>,
    pub issuer: Field,
    pub jwks_uri: Field,
    pub client_ids: Field,
    /// What the provider has to be told of this workspace.
    pub audience: String,
    /// Where to prove again who one is, before trust can be given.
    pub prove: Option<String>,
}
