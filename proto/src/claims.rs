//! Access tokens and API keys: what the control plane issues and a node checks.

use serde::{Deserialize, Serialize};

use crate::ids::{ServiceAccountId, UserId};

/// `typ` of an access token (RFC 9068, section 2.1); keeps other tokens of ours from passing for one.
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// Life of an access token, in seconds.
pub const ACCESS_TOKEN_SECONDS: i64 = 600;

/// Clocks of two machines may differ by this many seconds.
pub const LEEWAY_SECONDS: u64 = 30;

/// Use of the workspace's tools; where the workspace keeps writing apart, of those that only read.
pub const SCOPE_TOOLS: &str = "mcp:tools";

/// Use of tools that do more than read, where the workspace keeps that apart.
pub const SCOPE_WRITE: &str = "mcp:write";

/// What clients ask for who want a refresh token; all get one that can use it, so it means nothing to a resource.
pub const SCOPE_OFFLINE: &str = "offline_access";

/// What every API key starts with, so that secret scanners and people know it.
pub const API_KEY_PREFIX: &str = "tmk_";

/// Claims of an access token (RFC 9068) with ours: `tid` and `sid`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The tenant's origin.
    pub iss: String,
    /// The tenant's `/mcp` URL (RFC 8707).
    pub aud: String,
    /// A [`Subject`] in its text form.
    pub sub: String,
    pub client_id: String,
    /// Tenant id.
    pub tid: String,
    /// Grant id.
    pub sid: String,
    pub jti: String,
    /// Seconds since the epoch.
    pub iat: i64,
    pub exp: i64,
    /// Space-separated.
    pub scope: String,
}

/// Who a token or key speaks for. The text of a service account can never be read as a user's id, nor as a client's
/// (RFC 9700, section 4.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    User(UserId),
    Service(ServiceAccountId),
}

/// What the `sub` of a service account begins with.
const SERVICE_PREFIX: &str = "svc_";

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Service(id) => write!(f, "{SERVICE_PREFIX}{id}"),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(SERVICE_PREFIX) {
            Some(id) => id.parse().map(Self::Service),
            None => text.parse().map(Self::User),
        }
    }
}

/// The scopes of a request, a grant or a token. Words that nobody here knows are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    pub tools: bool,
    /// Implies `tools`: the broader scope holds the narrower.
    pub write: bool,
    pub offline: bool,
}

impl Scopes {
    /// What a client has that names none.
    pub const DEFAULT: Self = Self { tools: true, write: false, offline: false };

    /// Reads a space-separated list; unknown words are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let named = |scope: &str| text.split(' ').any(|word| word == scope);
        let write = named(SCOPE_WRITE);
        Self { tools: write || named(SCOPE_TOOLS), write, offline: named(SCOPE_OFFLINE) }
    }

    /// What both hold.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            tools: self.tools && other.tools,
            write: self.write && other.write,
            offline: self.offline && other.offline,
        }
    }

    /// Whether everything in `other` is here too.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.and(other) == other
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = [(self.tools, SCOPE_TOOLS), (self.write, SCOPE_WRITE), (self.offline, SCOPE_OFFLINE)];
        let words: Vec<&str> = named.into_iter().filter_map(|(held, word)| held.then_some(word)).collect();
        f.write_str(&words.join(" "))
    }
}

/// The URL of a tenant's MCP endpoint, the `resource` of RFC 8707 and 9728.
#[must_use]
pub fn resource(origin: &str) -> String {
    format!("{origin}/mcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_never_read_as_a_user() {
        let id = ServiceAccountId::new();
        let text = Subject::Service(id).to_string();
        assert_eq!(text.parse(), Ok(Subject::Service(id)));
        assert!(text.parse::<UserId>().is_err());
        let user: UserId = id.uuid().into();
        assert_eq!(user.to_string().parse(), Ok(Subject::User(user)));
        for bad in ["", "svc_", "svc_x", "svc_svc_01890000-0000-7000-8000-000000000001", "ada"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_broader_scope_holds_the_narrower_and_unknown_words_are_dropped() {
        let scopes = Scopes::parse("openid mcp:write mcp:toolsx");
        assert!(scopes.tools && scopes.write && !scopes.offline);
        assert_eq!(scopes.to_string(), "mcp:tools mcp:write");
        assert_eq!(Scopes::parse("email").to_string(), "");
        assert!(scopes.covers(Scopes::DEFAULT) && !Scopes::DEFAULT.covers(scopes));
        assert_eq!(scopes.and(Scopes::parse("mcp:tools offline_access")), Scopes::DEFAULT);
    }
}
