//! Which providers there are: those of the whole deployment, and a company's own.

use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use toolmesh_proto::ids::TenantId;

/// Where somebody proves who they are. A company's own provider is named by its workspace: what one company's provider says
/// counts for that company alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    Google,
    Microsoft,
    Github,
    Company(TenantId),
}

impl Provider {
    /// The last part of its redirect URI. Each provider has its own, so that an answer of one cannot be taken for an answer of
    /// another (RFC 9700, 4.4).
    #[must_use]
    pub fn key(self) -> String {
        match self {
            Self::Company(tenant) => tenant.uuid().simple().to_string(),
            known => known.name().to_ascii_lowercase(),
        }
    }

    /// By its key.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        Self::KNOWN
            .into_iter()
            .find(|known| known.key() == key)
            .or_else(|| key.parse().ok().map(Self::Company).filter(|company| company.key() == key))
    }

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Google => "Google",
            Self::Microsoft => "Microsoft",
            Self::Github => "GitHub",
            Self::Company(_) => "Your company",
        }
    }

    /// Those that a deployment can have.
    pub const KNOWN: [Self; 3] = [Self::Google, Self::Microsoft, Self::Github];
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Us, as a provider knows us.
#[derive(Clone)]
pub struct Registration {
    /// As the provider writes it in its tokens. For GitHub, which writes none, its origin.
    pub issuer: String,
    pub client_id: String,
    /// None for a public client, which has only PKCE to show.
    pub client_secret: Option<SecretString>,
    /// Whether the provider speaks for many directories, each an issuer of its own (Microsoft's `common`). Never true for a
    /// company's own: any directory could then say that somebody is the company's.
    pub shared: bool,
}

/// GitHub: OAuth 2 without OpenID Connect, so its addresses are named.
#[derive(Clone)]
pub struct GithubRegistration {
    pub client: Registration,
    /// Origin of its API.
    pub api: String,
}

/// The providers of the whole deployment; what is not configured is not offered.
#[derive(Clone, Default)]
pub struct Registrations {
    pub google: Option<Registration>,
    pub microsoft: Option<Registration>,
    pub github: Option<GithubRegistration>,
}

impl Registrations {
    /// Those that are offered, in the order of their buttons.
    #[must_use]
    pub fn offered(&self) -> Vec<Provider> {
        Provider::KNOWN.into_iter().filter(|known| self.has(*known)).collect()
    }

    /// Whether it is configured.
    #[must_use]
    pub const fn has(&self, provider: Provider) -> bool {
        match provider {
            Provider::Google => self.google.is_some(),
            Provider::Microsoft => self.microsoft.is_some(),
            Provider::Github => self.github.is_some(),
            Provider::Company(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_found_by_its_key_alone() {
        let company = Provider::Company(TenantId::new());
        for provider in Provider::KNOWN.into_iter().chain([company]) {
            assert_eq!(Provider::parse(&provider.key()), Some(provider));
        }
        for bad in ["", "Google", "evil", "00000000", "{00000000-0000-0000-0000-000000000000}"] {
            assert_eq!(Provider::parse(bad), None, "{bad}");
        }
    }
}
