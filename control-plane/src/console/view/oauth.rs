//! Consent, and what to say when a client's request cannot be followed.

use askama::Template;

use super::catalog::logo;
use super::parts::AccessCounts;
use super::shell::{Focus, Role, initials};

/// Who vouches for a client's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// The host that publishes its document.
    Host(String),
    /// An admin of the workspace, who registered it.
    Admin,
    /// Nobody: it registered itself.
    Nobody,
}

/// The client that asks, as far as it can be known.
pub struct ConsentClient {
    /// What it calls itself.
    pub name: String,
    pub vouched: Vouched,
    /// Where the person will be sent: `chatgpt.com`, `localhost:33418`.
    pub redirect_host: String,
    /// Whether that is a program on the person's own machine, which nobody can vouch for.
    pub local: bool,
}

impl ConsentClient {
    /// One or two letters for its mark.
    #[must_use]
    pub fn initials(&self) -> String {
        initials(&self.name)
    }
}

/// What the client will be able to use.
pub struct ConsentConnector {
    /// The connector's name in URLs, for the logo.
    pub connector: String,
    /// The installation's name.
    pub name: String,
    pub tools: usize,
}

impl ConsentConnector {
    /// The path of its logo below the static folder.
    #[must_use]
    pub fn logo(&self) -> String {
        logo(&self.connector)
    }
}

/// GET /oauth/{slug}/authorize.
#[derive(Template)]
#[template(path = "consent.html")]
pub struct ConsentPage {
    /// With the user.
    pub focus: Focus,
    /// Where the decision is posted.
    pub action: String,
    /// The sealed request, or its id.
    pub request: String,
    pub client: ConsentClient,
    pub workspace: String,
    pub role: Role,
    /// The tools this person would give it, by access class.
    pub counts: AccessCounts,
    pub connectors: Vec<ConsentConnector>,
    /// Whether it may change things, where the workspace keeps that apart from reading.
    pub writing: Option<bool>,
    /// Where to log in as somebody else, with the way back.
    pub switch_user: String,
}

impl ConsentPage {
    /// What to be careful of before saying yes.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        if self.client.local {
            let text = "The answer goes to a program on this computer, which nobody can vouch for. Go on only if you just \
                        started the login there yourself.";
            return Some(text.to_owned());
        }
        (self.client.vouched == Vouched::Nobody).then(|| {
            format!(
                "Anybody can register a client under any name. What counts is where you are sent: go on only if you just \
                 started the login at {}.",
                self.client.redirect_host
            )
        })
    }

    /// Whether any tool changes something.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.counts.of.iter().any(|(access, _)| access.word != "read")
    }
}

/// A request that cannot be followed and must not be redirected.
#[derive(Template)]
#[template(path = "oauth_error.html")]
pub struct OauthErrorPage {
    pub focus: Focus,
    /// What was wrong, in a sentence.
    pub what: String,
    /// The way out.
    pub advice: String,
    /// RFC 6749 error code, for whoever mends the client: `invalid_request`.
    pub code: String,
    pub request_id: String,
}
