//! Other MCP servers: one question, passed on in the era that the server speaks, and its answer.
//!
//! Owns the wire to the server: sessions, streams, what a lying server may cost. It is given a tool that policy has allowed and
//! a credential; it knows nothing of names under which clients call, of audit, or of how the client is reached.
//!
//! `modern` and `legacy` are the two eras, `oldest` the transport of 2024-11-05; `converse` is what a server may say before it
//! answers, `aside` what it says beside its answers, `exchange` one HTTP request with what comes of it, `server` what is kept of a server
//! between calls, `sessions` what is kept for its callers.

mod aside;
mod breaker;
mod clock;
mod converse;
pub mod envelope;
mod exchange;
mod legacy;
pub mod listen;
mod meta;
mod modern;
mod oldest;
mod result;
mod server;
mod sessions;
pub mod sse;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use toolmesh_proto::claims::Subject;

use self::aside::Asides;
use self::breaker::Verdict;
use self::clock::Clock;
use self::listen::Listeners;
use self::oldest::Connections;
use self::server::{Era, Server, Servers};
use self::sessions::Sessions;
use super::credentials::Placement;
use super::outbound::{Outbound, OutboundError};
use crate::call::line::Line;
use crate::catalog::Installation;
use crate::members::Members;
use crate::sync::reports::Reporter;

/// Most notifications of ours that are on their way to servers at a time, with nobody waiting for them.
const FAREWELLS: usize = 256;

/// Who asks, and which of their own accounts it is with: with another, they have sessions of their own.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    pub subject: Subject,
    /// Tells the accounts apart; anything where they use the workspace's.
    pub account: u64,
}

impl From<Subject> for Asker {
    fn from(subject: Subject) -> Self {
        Self { subject, account: 0 }
    }
}

/// What is asked of a server.
#[derive(Clone, Debug)]
pub struct Question {
    /// `tools/call`, `prompts/get`, `resources/read` or `completion/complete`.
    pub method: &'static str,
    /// As the server is to get them, without `_meta`, `inputResponses` and `requestState`.
    pub params: Map<String, Value>,
    /// The client's answers to what the server asked for in an earlier round (2026-07-28).
    pub round: Option<Round>,
}

/// A further round of a question (2026-07-28, multi round-trip requests).
#[derive(Clone, Debug)]
pub struct Round {
    /// By the server's keys.
    pub responses: Map<String, Value>,
    /// The server's own, byte by byte.
    pub state: Option<String>,
}

/// What a server answers.
#[derive(Debug)]
pub enum Answer {
    /// The result, every member as it came.
    Result(Box<RawValue>),
    /// It needs answers of the client first: by the server's keys, each request as it came.
    InputRequired { requests: Members, state: Option<String> },
}

/// Why there is no result.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The server's own error.
    Rpc {
        code: i64,
        message: String,
        data: Option<Box<RawValue>>,
    },
    /// It refused the credential; what it said in `WWW-Authenticate`. Whoever can get another credential asks once more.
    Unauthorized {
        challenge: Option<String>,
    },
    /// It refused the request for another reason, without an error of the protocol (403, 429, …).
    Status {
        status: StatusCode,
        /// When it may be asked again, if it says so.
        again_in: Option<Duration>,
    },
    /// It failed so often that it is left alone for a while.
    Open {
        again_in: Duration,
    },
    /// It has as many calls of this node under way as it is allowed.
    Busy,
    /// The caller is gone; the server was told.
    HungUp,
    /// No answer within the time that the installation allows.
    Timeout(Duration),
    Outbound(OutboundError),
    /// It answered, but not as the protocol asks; what was wrong, for people: completes a sentence that begins with its name.
    Broken(String),
}

/// What became of a question.
#[derive(Debug)]
pub struct Asked {
    pub result: Result<Answer, Failure>,
    /// Requests that were sent to the server for it, handshakes included.
    pub requests: u32,
    pub took: Duration,
}

/// The servers as this node knows them. Clones share sessions and breakers.
#[derive(Clone, Debug)]
pub struct Upstreams {
    outbound: Outbound,
    servers: Arc<Servers>,
    sessions: Sessions,
    asides: Asides,
    connections: Connections,
    listeners: Listeners,
    farewells: Arc<Semaphore>,
    reporter: Reporter,
}

/// One question on its way.
struct Call<'a> {
    upstreams: &'a Upstreams,
    installation: &'a Installation,
    server: &'a Arc<Server>,
    asker: Asker,
    placement: &'a Placement,
    line: &'a Line,
    clock: &'a Clock,
    /// Sent so far.
    requests: &'a AtomicU32,
}

impl Upstreams {
    #[must_use]
    pub fn new(outbound: Outbound, reporter: Reporter) -> Self {
        Self {
            outbound,
            servers: Arc::new(Servers::new(reporter.clone())),
            sessions: Sessions::default(),
            asides: Asides::default(),
            connections: Connections::default(),
            listeners: Listeners::default(),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
            reporter,
        }
    }

    /// Asks the server of an installation for a caller.
    pub async fn ask(
        &self,
        installation: &Installation,
        asker: impl Into<Asker>,
        placement: &Placement,
        question: Question,
        line: &Line,
    ) -> Asked {
        let (start, requests) = (Instant::now(), AtomicU32::new(0));
        let result = self.admitted(installation, asker.into(), placement, question, line, &requests).await;
        Asked { result, requests: requests.load(Ordering::Relaxed), took: start.elapsed() }
    }

    async fn admitted(
        &self,
        installation: &Installation,
        asker: Asker,
        placement: &Placement,
        question: Question,
        line: &Line,
        requests: &AtomicU32,
    ) -> Result<Answer, Failure> {
        let server = self.servers.of(installation);
        let _turn = server.turns.try_acquire().map_err(|_| Failure::Busy)?;
        let pass = server.breaker.admit().map_err(|again_in| Failure::Open { again_in })?;
        let whole = installation.timeout.unwrap_or_else(|| self.outbound.longest());
        let clock = Clock::new(whole);
        let call = Call {
            upstreams: self,
            installation,
            server: &server,
            asker,
            placement,
            line,
            clock: &clock,
            requests,
        };
        let result = tokio::select! {
            biased;
            result = call.answered(question) => result,
            () = line.hung_up().cancelled() => Err(Failure::HungUp),
            () = clock.ran_out() => Err(Failure::Timeout(whole)),
        };
        pass.end(&verdict(&result));
        result
    }
}

impl Call<'_> {
    /// Asks in the era that the server is known to speak, and in the other where it seems to speak that.
    async fn answered(&self, question: Question) -> Result<Answer, Failure> {
        let known = self.server.era();
        let (other, first) = match self.asked_in(known, question.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(Refused::Failed(failure)) => return Err(failure),
            Err(Refused::OtherEra(other, failure)) => (other, failure),
        };
        // Where it names what it was asked in: once more, perhaps it had just begun.
        match self.asked_in(other, question).await {
            Ok(answer) => Ok(answer),
            Err(Refused::OtherEra(..)) => {
                Err(Failure::Broken("refuses each revision of the protocol in turn".to_owned()))
            }
            // It meant something else: whoever stands before a server also says 400, 404 and 405. That a credential is wanted,
            // or that nobody answers, holds in every era.
            Err(Refused::Failed(failure)) => {
                let of_this_era =
                    matches!(failure, Failure::Rpc { .. } | Failure::Status { .. } | Failure::Broken(_));
                Err(if of_this_era && self.server.era() != other { first } else { failure })
            }
        }
    }

    async fn asked_in(&self, era: Era, question: Question) -> Result<Answer, Refused> {
        match era {
            Era::Modern => modern::ask(self, question).await,
            Era::Legacy(revision) => legacy::ask(self, revision, question).await,
            Era::Oldest => oldest::ask(self, question).await,
        }
    }

    /// Remembers what the server turned out to speak, and has the control plane look at it again.
    fn proved(&self, era: Era) {
        if self.server.era() != era {
            tracing::info!(installation = %self.installation.id, ?era, "an MCP server speaks another revision than before");
            self.server.turned(era);
            self.upstreams.reporter.changed(self.installation.tenant, self.installation.id);
        }
    }
}

/// Why one era gave no answer.
#[derive(Clone, Debug)]
enum Refused {
    /// The server seems to speak this instead; what it said.
    OtherEra(Era, Failure),
    Failed(Failure),
}

impl Refused {
    /// What a server said, and what it seems to speak if that is another era.
    fn by(failure: Failure, speaks: Option<Era>) -> Self {
        match speaks {
            Some(era) => Self::OtherEra(era, failure),
            None => Self::Failed(failure),
        }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<OutboundError> for Failure {
    fn from(error: OutboundError) -> Self {
        Self::Outbound(error)
    }
}

impl Failure {
    fn broken(what: impl Into<String>) -> Self {
        Self::Broken(what.into())
    }
}

/// What an answer says about the server's health.
fn verdict(result: &Result<Answer, Failure>) -> Verdict {
    use OutboundError as E;
    match result {
        // What a server refuses, it refuses in good health.
        Ok(_) | Err(Failure::Rpc { .. } | Failure::Unauthorized { .. } | Failure::Status { .. }) => {
            Verdict::Well
        }
        Err(Failure::Outbound(E::TooLarge(_))) => Verdict::Well,
        Err(Failure::Timeout(whole)) => {
            Verdict::Failed(format!("no answer came within {} seconds", whole.as_secs()))
        }
        Err(Failure::Broken(what)) => Verdict::Failed(format!("the server {what}")),
        // These are ours to mend, or nobody's.
        Err(Failure::Outbound(E::Refused(_) | E::File { .. } | E::BodyTooLarge(_))) => Verdict::None,
        Err(Failure::Outbound(error)) => Verdict::Failed(error.to_string()),
        Err(Failure::HungUp | Failure::Busy | Failure::Open { .. }) => Verdict::None,
    }
}
