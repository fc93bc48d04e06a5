//! Why a server could not be looked at, in the words of who has to mend it.

use std::time::Duration;

use crate::outbound::OutboundError;

/// What went wrong. None of these holds a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing usable came back.
    Outbound(OutboundError),
    /// 401, with the challenges that came with it.
    Unauthorized(Option<String>),
    /// 403, with the same.
    Forbidden(Option<String>),
    /// It points elsewhere.
    Redirect(String),
    Status(u16),
    /// It answered, but not as the protocol has it.
    NotMcp(String),
    /// It answered a method with an error.
    Refused {
        method: &'static str,
        message: String,
    },
    /// An answer, or all of them together, are too large.
    TooLarge,
    /// A list without an end.
    Endless(&'static str),
    /// The whole look took too long.
    Slow(Duration),
    /// It has no credential that could be shown to it.
    NoCredential(String),
}

impl From<OutboundError> for Trouble {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::TooLarge(_) => Self::TooLarge,
            other => Self::Outbound(other),
        }
    }
}

impl Trouble {
    /// Whether another way of asking the same server may help.
    pub(super) const fn may_be_the_way(&self) -> bool {
        match self {
            Self::Status(status) => !matches!(status, 429 | 502..=504),
            Self::NotMcp(_) | Self::Refused { .. } => true,
            Self::Outbound(error) => matches!(error, OutboundError::Timeout(_) | OutboundError::Broken),
            _ => false,
        }
    }

    /// What the server wants to be shown, as it says it in `WWW-Authenticate`.
    #[must_use]
    pub fn challenge(&self) -> Option<&str> {
        match self {
            Self::Unauthorized(challenge) | Self::Forbidden(challenge) => challenge.as_deref(),
            _ => None,
        }
    }

    /// What to say of it, whole sentences.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Outbound(OutboundError::Name(host)) => {
                format!("The name {host} has no address. Check the URL for typing errors.")
            }
            Self::Outbound(OutboundError::Tls) => {
                "The secure connection failed: the server's certificate is not one that is trusted.".to_owned()
            }
            Self::Outbound(OutboundError::Unreachable) => {
                "No connection could be made. Check the address, and that the server runs.".to_owned()
            }
            Self::Outbound(error) => format!("The server could not be asked: {error}."),
            Self::Unauthorized(Some(challenge)) if challenge.contains("resource_metadata") => {
                "The server asks for a login (401). Choose Login, for the workspace or for each member.".to_owned()
            }
            Self::Unauthorized(_) => "The server asks for a credential, or refused the one that was given (401).".to_owned(),
            Self::Forbidden(_) => "The server refused the request (403). The credential may not be allowed to use it.".to_owned(),
            Self::Redirect(to) => format!("The address points elsewhere ({to}), which is not followed. Use that address."),
            Self::Status(404) => {
                "The server has no MCP endpoint at this address (404). Check the path; it often ends in /mcp or /sse.".to_owned()
            }
            Self::Status(status) => format!("The server answered {status} instead of an MCP message."),
            Self::NotMcp(what) => format!("This does not look like an MCP server: {what}."),
            Self::Refused { method, message } => format!("The server answered {method} with an error: {message}"),
            Self::TooLarge => "The server's answers are larger than the 4 MB that are read.".to_owned(),
            Self::Endless(list) => format!("The server's list of {list} does not end. No more than 1,000 on 100 pages are read."),
            Self::Slow(within) => format!("The server took longer than {} seconds.", within.as_secs()),
            Self::NoCredential(why) => why.clone(),
        }
    }
}

/// What a stranger said, fit to be shown.
pub(super) fn quoted(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    clean.trim().to_owned()
}
