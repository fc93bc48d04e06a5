//! Enabling a connector: its name here, where it calls, what it calls with, and a test before anything is saved.

use askama::Template;

use super::catalog::ConnectorCard;
use super::parts::Field;
use super::shell::Shell;
use super::steps::TestReport;

/// One part of a credential, under its logical name.
#[derive(Clone, Debug)]
pub struct CredentialField {
    /// The logical name; the form's field is `credential.NAME`.
    pub name: String,
    pub label: String,
    pub help: String,
    /// A secret is typed masked and never printed back; a user name may be.
    pub secret: bool,
    pub required: bool,
    pub field: Field,
}

/// How to get the credential.
#[derive(Clone, Debug, Default)]
pub struct SetupHelp {
    pub steps: Vec<String>,
    /// Where to get it.
    pub url: Option<String>,
    /// What it must be allowed to do: scopes.
    pub scopes: Vec<String>,
    /// What it may be allowed to do besides, for more tools.
    pub more_scopes: Vec<String>,
    /// What else there is to know.
    pub notes: String,
    /// The address is the API's documentation, rather than the page where the credential is.
    pub documentation: bool,
}

impl SetupHelp {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.url.is_none() && self.scopes.is_empty() && self.notes.is_empty()
    }
}

/// GET and POST /w/{slug}/catalog/{connector}/enable and /w/{slug}/own/{id}/enable.
#[derive(Template)]
#[template(path = "enable.html")]
pub struct EnablePage {
    pub shell: Shell,
    /// Where the connector's pages are: `/w/acme/catalog/github`.
    pub base: String,
    pub connector: ConnectorCard,
    /// The name here, which prefixes the tools' names.
    pub name: Field,
    pub base_url: Field,
    pub credentials: Vec<CredentialField>,
    pub help: SetupHelp,
    /// What is to be registered at the provider, where somebody logs in there.
    pub redirect_uri: Option<String>,
    pub error: Option<String>,
    /// The test's result, when it was asked for without a script.
    pub report: Option<TestReport>,
}
