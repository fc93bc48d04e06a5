//! The event of one call, written down step by step while the call is on its way.
//!
//! Whatever becomes of the call, its event is recorded: one that is dropped unfinished records itself.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::Value;
use time::OffsetDateTime;
use toolmesh_proto::v1::{AuditEvent, CallStep, Outcome};

use super::{Intent, Recorder, redact};
use crate::execute::credentials::Opened;

/// Longest text of a client about itself, in characters.
const AGENT_CHARS: usize = 200;
/// Longest name of a tool that is kept, in characters; an unknown one may be anything.
const TOOL_CHARS: usize = 200;
/// Longest reason, in characters.
const REASON_CHARS: usize = 600;
/// No more bytes of a reason are looked at.
const REASON_BYTES: usize = 16 << 10;

const FAULT: &str = "The call stopped because of a fault on our side; whether it took effect is unknown.";
const LEFT_BEHIND: &str = "The node stopped while the call was on its way; what happened is unknown.";

/// An event in the making.
#[derive(Debug)]
#[must_use]
pub struct CallEvent {
    recorder: Recorder,
    event: AuditEvent,
    started: Instant,
    intent: Option<Intent>,
    /// Values that were taken out of the arguments and must not come back in a text.
    secrets: Vec<SecretString>,
    ended: bool,
}

impl CallEvent {
    /// Begins with what is known of the request: tenant, request id, caller, address.
    pub fn begin(recorder: Recorder, mut event: AuditEvent, started: Instant) -> Self {
        let now = OffsetDateTime::now_utc() - started.elapsed();
        event.at_micros = i64::try_from(now.unix_timestamp_nanos() / 1000).unwrap_or_default();
        event.client_agent = cut(&event.client_agent, AGENT_CHARS);
        event.tool = cut(&event.tool, TOOL_CHARS);
        event.set_outcome(Outcome::Unknown);
        Self { recorder, event, started, intent: None, secrets: Vec::new(), ended: false }
    }

    /// Adds a step of the path of a call.
    pub fn step(&mut self, name: &str, ok: bool, took: Duration, detail: impl Into<String>) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let detail = self.clean(&detail.into());
        self.event.steps.push(CallStep { name: name.to_owned(), ok, micros, detail });
    }

    /// The event as far as it has come.
    pub const fn facts(&mut self) -> &mut AuditEvent {
        &mut self.event
    }

    /// Notes that other calls are made on behalf of this one, and answers what they name it by.
    pub fn calls_others(&mut self) -> String {
        self.event.call_id = uuid::Uuid::now_v7().to_string();
        self.event.call_id.clone()
    }

    /// Writes down the arguments without their secrets; no text of this event will hold them either.
    pub fn arguments(&mut self, arguments: &Value, opened: &Opened) {
        self.event.arguments_json = redact::arguments(arguments, opened);
        self.secrets = redact::secrets(arguments);
    }

    /// Notes that the call is about to leave. If the node dies now, its next life reports the call with an unknown outcome.
    pub fn intend(&mut self) {
        self.intent = self.recorder.intend(&self.event);
    }

    /// Ends with what became of the call and records it; `reason` is empty for a success.
    pub fn finish(mut self, outcome: Outcome, reason: &str) {
        self.end(outcome, reason);
    }

    fn end(&mut self, outcome: Outcome, reason: &str) {
        self.ended = true;
        self.event.set_outcome(outcome);
        self.event.reason = self.clean(reason);
        self.event.duration_millis = millis(self.started.elapsed());
        self.recorder.record(std::mem::take(&mut self.event), self.intent.take());
    }

    fn clean(&self, text: &str) -> String {
        let end = text.floor_char_boundary(REASON_BYTES);
        cut(&redact::text(&text[..end], &self.secrets), REASON_CHARS)
    }
}

impl Drop for CallEvent {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Calls are never cancelled but with the whole node.
        if std::thread::panicking() {
            self.end(Outcome::Internal, FAULT);
        } else {
            self.end(Outcome::Unknown, LEFT_BEHIND);
        }
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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::record::Spool;
    use crate::record::spool::Cursor;

    fn world() -> (tempfile::TempDir, Arc<Spool>, CallEvent) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::begin(folder.path(), "boot", 1 << 20).unwrap());
        let event =
            CallEvent::begin(Recorder::new(Arc::clone(&spool)), AuditEvent::default(), Instant::now());
        (folder, spool, event)
    }

    fn recorded(spool: &Spool) -> AuditEvent {
        let (mut events, _) = spool.read(Cursor::default(), 10).unwrap();
        assert_eq!(events.len(), 1);
        events.remove(0)
    }

    #[test]
    fn a_call_that_panics_is_recorded_as_our_fault_and_leaves_no_intent_open() {
        let (_folder, spool, mut event) = world();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            event.intend();
            panic!("a fault");
        }));
        assert!(panicked.is_err());
        let event = recorded(&spool);
        assert_eq!((event.outcome(), event.reason.as_str()), (Outcome::Internal, FAULT));
        assert!(spool.is_drained(1));
    }

    #[test]
    fn a_call_that_is_left_behind_is_recorded_with_an_unknown_outcome() {
        let (_folder, spool, event) = world();
        drop(event);
        assert_eq!(recorded(&spool).outcome(), Outcome::Unknown);
    }

    #[test]
    fn a_reason_holds_nothing_that_was_taken_out_of_the_arguments() {
        let (_folder, spool, mut event) = world();
        event.arguments(&json!({"password": "hunter2"}), &Opened::default());
        event.step("upstream", false, Duration::ZERO, "said hunter2");
        event.finish(Outcome::UpstreamError, "The API answered 400: hunter2 is too short");
        let event = recorded(&spool);
        assert_eq!(event.reason, "The API answered 400: [redacted] is too short");
        assert!(!format!("{event:?}").contains("hunter2"));
    }
}
