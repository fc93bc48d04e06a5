//! A workspace's own provider, its domains, and requiring it.

use askama::Template;

use super::parts::{Choice, Field, Moment};
use super::shell::{Person, Shell};
use super::tabs::Tabs;

/// The provider's form; the secret's value stays empty.
pub struct ProviderForm {
    pub issuer: Field,
    pub client_id: Field,
    pub client_secret: Field,
    pub groups_claim: Field,
    pub roles: Vec<Choice>,
}

/// A provider that is saved.
pub struct ProviderState {
    pub secret_last4: String,
    pub test: Option<TestResult>,
    /// Whether a test login has passed with the settings as they are.
    pub passed: bool,
    pub required: Option<Moment>,
    /// What people become, with its article.
    pub role: String,
}

impl ProviderState {
    /// What is said of the stored secret; nothing of a short one.
    #[must_use]
    pub fn secret_help(&self) -> String {
        let end = if self.secret_last4.is_empty() {
            String::new()
        } else {
            format!(", ends in {}", self.secret_last4)
        };
        format!("Stored{end}. Leave it empty to keep it.")
    }
}

/// What a test login found.
pub struct TestResult {
    pub problem: Option<String>,
    pub email: String,
    pub groups: Vec<String>,
    pub claims: Vec<(String, String)>,
    pub at: Moment,
    /// Whether the settings have changed since.
    pub stale: bool,
}

/// A domain in the list.
pub struct DomainRow {
    pub domain: String,
    pub record_name: String,
    pub record_value: String,
    pub verified: Option<Moment>,
    pub by_operator: bool,
}

impl DomainRow {
    /// The `id` of the record's name, and of its value.
    #[must_use]
    pub fn ids(&self) -> (String, String) {
        (format!("name-{}", self.domain), format!("value-{}", self.domain))
    }
}

/// An owner who may be named to log in without the provider.
pub struct OwnerRow {
    pub id: String,
    pub person: Person,
    /// Whether they have what it takes: a password and a second factor.
    pub able: bool,
    /// What they lack, where that is so.
    pub lacks: &'static str,
    pub chosen: bool,
    pub you: bool,
}

/// GET /w/{slug}/settings/sign-in, and what its forms answer when something is wrong.
#[derive(Template)]
#[template(path = "settings_sign_in.html")]
pub struct SignInSettingsPage {
    pub shell: Shell,
    pub tabs: Tabs,
    /// Where to prove again who one is before anything is changed.
    pub prove: Option<String>,
    pub redirect_uri: String,
    /// Where members begin.
    pub login_url: String,
    pub provider: Option<ProviderState>,
    pub form: ProviderForm,
    pub domains: Vec<DomainRow>,
    pub has_domain: bool,
    pub domain: Field,
    pub owners: Vec<OwnerRow>,
    pub error: Option<String>,
}

impl SignInSettingsPage {
    /// Whether there is an owner who could log in when the provider is away.
    #[must_use]
    pub fn any_able(&self) -> bool {
        self.owners.iter().any(|owner| owner.able)
    }

    /// Whether the viewer is an owner who lacks a second factor for that.
    #[must_use]
    pub fn you_could_be(&self) -> bool {
        self.owners.iter().any(|owner| owner.you && !owner.able)
    }
}
