//! Carrying out one call: credential, request, answer.
//!
//! Owns what the caller is told when any of them fails. It is given a tool that policy has allowed and arguments that fit;
//! it knows nothing of MCP, HTTP handlers or the audit log.

pub mod arguments;
mod call;
pub mod code;
pub mod credentials;
pub mod download;
pub mod health;
pub mod outbound;
pub mod rest;
pub mod scrubber;
pub mod sign_in;
mod thrown;
pub mod upstream;

use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::ACCEPT;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toolmesh_proto::seal::Sealer;

use self::credentials::{CredentialError, Opened, Placement};
use self::outbound::{Outbound, OutboundError, OutboundRequest, Reply};
use self::rest::Plan;
use self::rest::pipeline::Programs;
use self::rest::request::ArgumentError;
use self::rest::response::{AnswerError, Body, Content, status_text};
use self::sign_in::SignIn;
use self::sign_in::session::Sessions;
use self::sign_in::tokens::Tokens;
use self::upstream::Upstreams;
use crate::catalog::{Holder, Installation};
use crate::sync::channel::ControlPlane;
use crate::sync::reports::Reporter;

/// Carries out calls; one per node.
#[derive(Clone, Debug)]
pub struct Executor {
    pub outbound: Outbound,
    pub sealer: Sealer,
    /// What some APIs are shown instead of a stored credential.
    pub sign_in: SignIn,
    pub programs: Programs,
    /// Other MCP servers.
    pub upstreams: Upstreams,
}

/// What became of a call, and how it got there.
#[derive(Debug)]
pub struct Execution {
    pub result: Result<Content, Failure>,
    pub aside: Aside,
    pub trace: Trace,
}

/// What is said beside a result.
#[derive(Debug, Default)]
pub struct Aside {
    /// Sentences for the caller: what of the whole is missing, and how to get it.
    pub notes: Vec<String>,
    /// Facts for programs, not for models.
    pub metadata: Option<Box<RawValue>>,
}

/// Times and facts of one call, as far as it came.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub credential: Option<Duration>,
    /// Over all requests of the call, without the waits between them.
    pub upstream: Option<Duration>,
    pub read: Option<Duration>,
    /// The API's last status; `None` where no answer came.
    pub status: Option<StatusCode>,
    /// Requests that were made again, in order.
    pub tries: Vec<Try>,
    /// Pages that came.
    pub pages: usize,
}

/// A request whose answer led to another try.
#[derive(Clone, Debug)]
pub struct Try {
    /// The status, or what went wrong.
    pub outcome: String,
    pub took: Duration,
    /// How long was waited before the next.
    pub wait: Duration,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    Credential(CredentialError),
    Argument(ArgumentError),
    /// The caller's own program, before anything was sent.
    Program(String),
    Outbound(OutboundError),
    Answer(AnswerError),
}

impl Executor {
    /// One that has nobody to ask for access tokens; APIs that want one cannot be called.
    #[must_use]
    pub fn new(outbound: Outbound, sealer: Sealer) -> Self {
        let sign_in = SignIn::new(Tokens::new(None, sealer.clone()), Sessions::new(outbound.clone()));
        let upstreams = Upstreams::new(outbound.clone(), Reporter::default());
        Self { outbound, sealer, sign_in, programs: Programs::default(), upstreams }
    }

    /// The same, asking a control plane for access tokens.
    #[must_use]
    pub fn with_control(mut self, control: ControlPlane) -> Self {
        let tokens = Tokens::new(Some(control), self.sealer.clone());
        self.sign_in = SignIn::new(tokens, Sessions::new(self.outbound.clone()));
        self
    }

    /// The same, with somebody to tell how MCP servers fare.
    #[must_use]
    pub fn with_reporter(mut self, reporter: Reporter) -> Self {
        self.upstreams = Upstreams::new(self.outbound.clone(), reporter);
        self
    }

    /// The installation's credentials, open.
    #[must_use]
    pub fn open(&self, installation: &Installation) -> Opened {
        let auth = &installation.connector.auth;
        Opened::open(&self.sealer, installation.tenant, installation.id, &installation.credentials, auth)
    }

    /// The same for a caller who uses an account of their own: what they connected is got when it is shown.
    #[must_use]
    pub fn open_for(&self, installation: &Installation, holder: Option<Holder>) -> Opened {
        match holder {
            None => self.open(installation),
            // Nothing of the workspace's stands in for it; what is shown beside it is the workspace's for all.
            Some(_) => {
                let auth = &installation.connector.auth;
                let beside = installation.credentials.iter().filter(|one| auth.shows_beside(&one.name));
                let beside: Vec<_> = beside.cloned().collect();
                Opened::open(&self.sealer, installation.tenant, installation.id, &beside, auth).of(holder)
            }
        }
    }

    /// Makes the requests of a call, usually one, and reads what comes of them.
    pub async fn call(
        &self,
        installation: &Installation,
        plan: &Plan,
        opened: &Opened,
        arguments: &Map<String, Value>,
    ) -> Execution {
        if let Some(rule) = &plan.health {
            return health::call(self, installation, plan, opened, rule).await;
        }
        let mut trace = Trace::default();
        let until = Instant::now() + self.outbound.longest();
        let call = call::Call { executor: self, installation, plan, opened, until, trace: &mut trace };
        match call.run(arguments).await {
            Ok((content, aside)) => Execution { result: Ok(content), aside, trace },
            Err(failure) => Execution { result: Err(failure), aside: Aside::default(), trace },
        }
    }

    /// What a caller would be given of an answer that is the only one.
    ///
    /// # Errors
    /// When the API said no or answered with what cannot be used.
    pub async fn shape(&self, plan: &Plan, body: Body) -> Result<Content, Failure> {
        let body = match body {
            Body::Json(json) => Body::Json(rest::pipeline::part(plan, &json).map_err(Failure::Answer)?),
            other => other,
        };
        let shaped = rest::pipeline::shape(plan, body, None, &self.programs).await;
        shaped.map(|shaped| shaped.content).map_err(Failure::Answer)
    }
}

/// The request of a call, ready to leave with its credential in it.
///
/// # Errors
/// When an argument cannot be sent.
pub fn prepare(
    installation: &Installation,
    plan: &Plan,
    placement: &Placement,
    arguments: &Map<String, Value>,
) -> Result<OutboundRequest, Failure> {
    let headers = &installation.connector.default_headers;
    rest::request::build(plan, &installation.base, headers, arguments, placement).map_err(Failure::Argument)
}

/// Reads an answer, scrubbed of credentials.
///
/// # Errors
/// When the API said no or answered with what cannot be used.
pub fn read(
    plan: &Plan,
    reply: &Reply,
    wants_html: bool,
    opened: &Opened,
    placement: &Placement,
) -> Result<Body, Failure> {
    let scrub = |text: &mut String| {
        opened.scrub(text);
        placement.scrub(text);
    };
    rest::response::read(plan, reply, wants_html, &scrub).map_err(Failure::Answer)
}

/// A web page is an answer only to a request that asks for one.
#[must_use]
pub fn asks_for_html(request: &OutboundRequest) -> bool {
    let accept = request.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/html")
}

impl Failure {
    /// What the caller is told: what went wrong, where, and the way out.
    #[must_use]
    pub fn told(&self, api: &str, workspace: &str) -> String {
        let admin = format!("an owner or admin of {workspace}");
        match self {
            Self::Credential(CredentialError::Later(why)) => {
                format!("{api} was not called: {why}. Try again in a moment.")
            }
            Self::Credential(CredentialError::Connect { why, url }) => {
                let name = api.strip_prefix("The ").unwrap_or(api);
                let name = name.strip_suffix(" API").unwrap_or(name);
                format!("{api} was not called: {why}. Connect your {name} account: {url}")
            }
            Self::Credential(error) => format!("{api} was not called: {error}. Ask {admin} to do so."),
            Self::Argument(error) => format!("{api} was not called. {error}."),
            Self::Program(error) => {
                format!(
                    "{api} was not called. The program in /_jq cannot be read: {error}. Correct it, or leave it out."
                )
            }
            Self::Outbound(error) => unreachable_text(error, api, &admin),
            Self::Answer(AnswerError::Status { status, message, retry_after, code, .. }) => {
                let code = code.as_deref().filter(|code| !message.contains(code));
                let message = code.map_or_else(|| message.clone(), |code| format!("{message} ({code})"));
                status_sentence(api, *status, message.trim_start(), *retry_after, &admin)
            }
            Self::Answer(AnswerError::Refused { message, code }) => {
                let code = code.as_deref().filter(|code| !message.contains(code));
                match (message.as_str(), code) {
                    ("", None) => format!("{api} refused the call without a message."),
                    ("", Some(code)) => format!("{api} refused the call: {code}"),
                    (message, None) => format!("{api} refused the call: {message}"),
                    (message, Some(code)) => format!("{api} refused the call: {message} ({code})"),
                }
            }
            Self::Answer(error @ AnswerError::NoRoom) => {
                format!("{api} was called, but {error}, and its answer was not read. Try again in a moment.")
            }
            Self::Answer(error @ AnswerError::LargeFile(_)) => format!(
                "{api} was called, but {error}, which is the most that is handed over here. Ask for a smaller one, such as \
                 another format or a part, or have it fetched from the API's own site."
            ),
            Self::Answer(error @ AnswerError::Program(_)) => {
                format!("{api} was called, but {error}. Correct it, or leave it out.")
            }
            Self::Answer(error @ AnswerError::Transform(_)) => {
                format!(
                    "{api} was called, but {error}. Nothing of the answer is shown. Ask {admin} to check the connector."
                )
            }
            Self::Answer(error) => {
                format!(
                    "{api} was called, but {error}. If that is not expected, ask {admin} to check the base URL."
                )
            }
        }
    }
}

fn unreachable_text(error: &OutboundError, api: &str, admin: &str) -> String {
    match error {
        OutboundError::Refused(_) => {
            format!("{api} was not called: {error}. Ask {admin} to correct the base URL.")
        }
        OutboundError::Name(_)
        | OutboundError::NameTimeout(_)
        | OutboundError::ConnectionRefused
        | OutboundError::Unreachable => format!(
            "{api} could not be reached: {error}. Try again later; if it stays so, ask {admin} to check the base URL."
        ),
        OutboundError::Tls(_) => {
            format!("{api} could not be reached safely: {error}. Ask {admin} to check the base URL.")
        }
        OutboundError::Timeout(_) => {
            format!("{api} did not answer in time: {error}. The call may have taken effect.")
        }
        OutboundError::TooLarge(_) => {
            format!("{api} answered too much: {error}. Ask for less, for example a page.")
        }
        OutboundError::Packed(_) => format!("{api} answered in a form that cannot be read: {error}."),
        OutboundError::Broken => format!("{api} broke off: {error}. The call may have taken effect."),
        OutboundError::File { .. } => {
            format!("{api} was not given what it needs: {error}. Give the URL of another file.")
        }
        OutboundError::BodyTooLarge(_) => format!("{api} was not called: {error}. Send less at a time."),
    }
}

fn status_sentence(
    api: &str,
    status: StatusCode,
    message: &str,
    retry_after: Option<u64>,
    admin: &str,
) -> String {
    let answered = match message {
        "" => format!("{api} answered {} without a message.", status_text(status)),
        message => format!("{api} answered {}: {message}", status_text(status)),
    };
    let hint = match (status.as_u16(), retry_after) {
        (401, _) => {
            format!(
                "It refused the workspace's credential. You need not log in again; ask {admin} to replace it."
            )
        }
        (403, _) => format!("The workspace's credential may not do this. If it should, ask {admin}."),
        (429, Some(seconds)) => format!("Too many calls. Try again in {seconds} seconds."),
        (429, None) => "Too many calls. Try again later.".to_owned(),
        (200..=299, _) => "It has no answer yet. Try again in a moment.".to_owned(),
        (300..=399, _) => {
            format!("It pointed elsewhere, which is not followed. Ask {admin} to correct the base URL.")
        }
        _ => return answered,
    };
    let stop = if answered.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{answered}{stop} {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, message: &str) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        let error = AnswerError::Status {
            status,
            message: message.into(),
            retry_after: None,
            kind: String::new(),
            code: (status == StatusCode::CONFLICT).then(|| "E_LOCK".to_owned()),
        };
        Failure::Answer(error).told("The GitHub API", "Acme")
    }

    #[test]
    fn an_apis_own_words_are_passed_on_with_its_status() {
        assert_eq!(told(404, "No such issue"), "The GitHub API answered 404 Not Found: No such issue");
        assert_eq!(told(500, ""), "The GitHub API answered 500 Internal Server Error without a message.");
    }

    #[test]
    fn a_refused_credential_says_whom_to_ask_and_not_to_log_in_again() {
        let text = told(401, "Bad credentials");
        assert!(text.contains("Bad credentials. It refused the workspace's credential."), "{text}");
        assert!(text.contains("ask an owner or admin of Acme"), "{text}");
    }

    #[test]
    fn who_has_connected_nothing_is_told_where_to() {
        let (why, url) =
            ("you have not connected an account".to_owned(), "https://console.example/c".to_owned());
        let text = Failure::Credential(CredentialError::Connect { why, url }).told("The GitHub API", "Acme");
        assert_eq!(
            text,
            "The GitHub API was not called: you have not connected an account. Connect your GitHub account: https://console.example/c"
        );
    }

    #[test]
    fn an_apis_own_code_is_said_once() {
        assert!(told(409, "Locked").ends_with("409 Conflict: Locked (E_LOCK)"));
        assert!(told(409, "E_LOCK: locked").ends_with("409 Conflict: E_LOCK: locked"));
    }

    #[test]
    fn a_redirect_is_named_and_not_followed() {
        assert!(told(302, "").contains("302 Found"));
    }
}
