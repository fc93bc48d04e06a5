//! The event of one call, written down step by step while the call is on its way.

use std::time::{Duration, Instant};

use time::OffsetDateTime;
use toolmesh_proto::v1::{AuditEvent, CallStep, Outcome};

/// Longest text of a client about itself, in characters.
const AGENT_CHARS: usize = 200;
/// Longest name of a tool that is kept, in characters; an unknown one may be anything.
const TOOL_CHARS: usize = 200;
/// Longest reason, in characters.
const REASON_CHARS: usize = 600;

/// An event in the making.
#[derive(Clone, Debug)]
pub struct CallEvent {
    event: AuditEvent,
    started: Instant,
}

impl CallEvent {
    /// Begins with what is known of the request: tenant, request id, caller, address.
    #[must_use]
    pub fn begin(mut event: AuditEvent, started: Instant) -> Self {
        let now = OffsetDateTime::now_utc() - started.elapsed();
        event.at_micros = i64::try_from(now.unix_timestamp_nanos() / 1000).unwrap_or_default();
        event.client_agent = cut(&event.client_agent, AGENT_CHARS);
        event.tool = cut(&event.tool, TOOL_CHARS);
        event.set_outcome(Outcome::Unknown);
        Self { event, started }
    }

    /// Adds a step of the path of a call.
    pub fn step(&mut self, name: &str, ok: bool, took: Duration, detail: impl Into<String>) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let detail = cut(&detail.into(), REASON_CHARS);
        self.event.steps.push(CallStep { name: name.to_owned(), ok, micros, detail });
    }

    /// The event as far as it has come.
    pub const fn facts(&mut self) -> &mut AuditEvent {
        &mut self.event
    }

    /// Ends with what became of the call; `reason` is empty for a success.
    #[must_use]
    pub fn finish(mut self, outcome: Outcome, reason: &str) -> AuditEvent {
        self.event.set_outcome(outcome);
        self.event.reason = cut(reason, REASON_CHARS);
        self.event.duration_millis = millis(self.started.elapsed());
        self.event
    }
}

/// Whole milliseconds, as the protocol counts them.
#[must_use]
pub fn millis(took: Duration) -> u32 {
    u32::try_from(took.as_millis()).unwrap_or(u32::MAX)
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
