//! Other MCP servers: one question, passed on in the era that the server speaks, and its answer.
//!
//! Owns the wire to the server: sessions, streams, what a lying server may cost. It is given a tool that policy has allowed and
//! a credential; it knows nothing of names under which clients call, of audit, or of how the client is reached.

use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toolmesh_proto::claims::Subject;

use super::credentials::Placement;
use super::outbound::{Outbound, OutboundError};
use crate::call::line::Line;
use crate::catalog::Installation;

/// What is asked of a server.
#[derive(Debug)]
pub struct Question {
    /// `tools/call`, `prompts/get`, `resources/read` or `completion/complete`.
    pub method: &'static str,
    /// As the server is to get them, without `_meta`, `inputResponses` and `requestState`.
    pub params: Map<String, Value>,
    /// The client's answers to what the server asked for in an earlier round (2026-07-28).
    pub round: Option<Round>,
}

/// A further round of a question (2026-07-28, multi round-trip requests).
#[derive(Debug)]
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
    /// It needs answers of the client first.
    InputRequired { requests: Map<String, Value>, state: Option<String> },
}

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The server's own error.
    Rpc {
        code: i64,
        message: String,
        data: Option<Value>,
    },
    /// It refused the credential; what it said in `WWW-Authenticate`.
    Unauthorized {
        challenge: Option<String>,
    },
    /// It failed so often that it is left alone for a while.
    Open {
        again_in: Duration,
    },
    /// The caller is gone; the server was told.
    HungUp,
    /// No answer within the time that the installation allows.
    Timeout(Duration),
    Outbound(OutboundError),
    /// It answered, but not as the protocol asks; what was wrong, for people.
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
}

impl Upstreams {
    #[must_use]
    pub const fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    /// Asks the server of an installation for a caller.
    pub async fn ask(
        &self,
        installation: &Installation,
        subject: Subject,
        placement: &Placement,
        question: Question,
        line: &Line,
    ) -> Asked {
        let _ = (&self.outbound, installation, subject, placement, question, line);
        Asked { result: Err(Failure::HungUp), requests: 0, took: Duration::ZERO }
    }
}
