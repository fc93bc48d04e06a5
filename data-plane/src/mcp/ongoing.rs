//! A question on its way, and how its client hears of it: plain JSON if the answer comes soon and nothing is said before it,
//! else an event stream, which also shows that it lives, so that neither a proxy nor a client takes silence for an end.
//!
//! A stream whose caller loses access is cut: the call goes on to its end, and its answer goes to nobody. A client of the newest
//! revision that goes away cancels its call; an older one has a message for that.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::cancel::Cancellable;
use super::envelope::{INTERNAL_ERROR, INVALID_REQUEST, Id};
use super::questions::{Finished, Question};
use super::reply;
use super::revision::Revision;
use crate::call::Caller;
use crate::call::line::{Client, Event, Line};
use crate::config::Limits;
use crate::ingress::{CallPermit, Standing};
use crate::members::Members;

const CUT: &str = "Access was revoked while the call was on its way. Log in again.";

/// Levels of log messages, the lowest first.
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// A question on its way.
pub(super) struct Ongoing {
    id: Id,
    wire: Wire,
    heard: mpsc::Receiver<Event>,
    task: JoinHandle<Finished>,
    standing: Standing,
    limits: Limits,
    /// Cancels the call when it is dropped; of the newest revision alone.
    leaving: Option<DropGuard>,
    /// Takes the call out of those that a message can cancel.
    _cancellable: Option<Cancellable>,
}

/// What of the things said on the way the client is told.
struct Wire {
    revision: Revision,
    wants_progress: bool,
    log_level: Option<usize>,
}

enum Next {
    Finished(Finished),
    Event(Event),
}

/// Begins a call. The caller's line is this one.
pub(super) fn begin(
    caller: &Caller,
    revision: Revision,
    id: Id,
    client: Client,
    question: Question,
    permit: CallPermit,
    session: Option<&str>,
) -> Ongoing {
    let hung_up = CancellationToken::new();
    let wire = Wire {
        revision,
        wants_progress: client.meta.contains_key("progressToken"),
        log_level: client.log_level.as_deref().and_then(level),
    };
    let leaving = (revision == Revision::MODERN).then(|| hung_up.clone().drop_guard());
    let cancellable = (revision != Revision::MODERN)
        .then(|| caller.app.cancellations.enter(caller, session, &id, hung_up.clone()));
    let (line, heard) = Line::new(client, hung_up);
    let caller = Caller { line, ..caller.clone() };
    let (standing, limits) = (caller.standing.clone(), caller.app.limits);
    let tracker = caller.app.calls.clone();
    let task = tracker.spawn(async move {
        // The call's own, not its connection's: it goes on when the client is gone.
        let _permit = permit;
        question.ask(&caller).await
    });
    Ongoing { id, wire, heard, task, standing, limits, leaving, _cancellable: cancellable }
}

fn level(name: &str) -> Option<usize> {
    LEVELS.iter().position(|level| *level == name)
}

impl Ongoing {
    /// The response: JSON, or a stream where the client takes one and there is reason for it.
    pub(super) async fn response(mut self, takes_stream: bool) -> Response {
        let soon = tokio::time::sleep(self.limits.stream_after);
        tokio::pin!(soon);
        loop {
            let next = tokio::select! {
                biased;
                next = self.next() => next,
                () = &mut soon, if takes_stream => return self.stream(comment()),
            };
            match next {
                Next::Finished(finished) => {
                    self.stay();
                    return reply::with_status(finished.status(), finished.body(&self.id));
                }
                Next::Event(event) => {
                    if let Some(said) = self.say(event).filter(|_| takes_stream) {
                        return self.stream(said);
                    }
                }
            }
        }
    }

    /// The reply, of whatever is said before it nothing.
    pub(super) async fn reply(mut self) -> Bytes {
        loop {
            if let Next::Finished(finished) = self.next().await {
                self.stay();
                return finished.body(&self.id);
            }
        }
    }

    async fn next(&mut self) -> Next {
        tokio::select! {
            biased;
            Some(event) = self.heard.recv() => Next::Event(event),
            finished = &mut self.task => Next::Finished(finished.unwrap_or_else(|error| {
                tracing::error!(%error, "call ended without a reply");
                Finished::error(INTERNAL_ERROR, "The call failed inside the gateway. Try again.")
            })),
        }
    }

    /// Whoever leaves from now on cancels nothing.
    fn stay(&mut self) {
        if let Some(leaving) = self.leaving.take() {
            leaving.disarm();
        }
    }

    /// What the client is told of something that the call says.
    fn say(&mut self, event: Event) -> Option<Bytes> {
        match event {
            Event::Notification { method, params } => self.wire.notification(&method, &params),
            // Nobody answers: whoever asked is told so.
            Event::Ask(_) => None,
        }
    }

    fn stream(self, first: Bytes) -> Response {
        let mut beat =
            tokio::time::interval_at(Instant::now() + self.limits.stream_beat, self.limits.stream_beat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let standing = self.standing.clone();
        let ended = Box::pin(async move { standing.ended().await });
        let open = Open { ongoing: self, ended, beat, said: VecDeque::from([first]) };
        event_stream(Body::from_stream(stream::unfold(Some(open), next)))
    }
}

impl Wire {
    fn notification(&self, method: &str, params: &RawValue) -> Option<Bytes> {
        let told = match method {
            "notifications/progress" => self.wants_progress,
            "notifications/message" => {
                let members = Members::read(params.get())?;
                let of = members.read_as::<String>("level").as_deref().and_then(level)?;
                self.log_level.is_some_and(|least| of >= least)
            }
            "notifications/elicitation/complete" => self.revision == Revision::V2025_11_25,
            // Lists and resources are told of elsewhere.
            _ => false,
        };
        told.then(|| {
            let mut message = Members::default();
            message.set_value("jsonrpc", &"2.0");
            message.set_value("method", &method);
            message.set("params", params.to_owned());
            event(message.write().get().as_bytes())
        })
    }
}

/// A stream of events as a response.
pub(super) fn event_stream(events: Body) -> Response {
    let mut response = Response::new(events);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx and what descends from it would hold the stream back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A stream that waits for its answer.
struct Open {
    ongoing: Ongoing,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    beat: Interval,
    /// What is to be sent next.
    said: VecDeque<Bytes>,
}

async fn next(open: Option<Open>) -> Option<(Result<Bytes, Infallible>, Option<Open>)> {
    let mut open = open?;
    loop {
        if let Some(said) = open.said.pop_front() {
            return Some((Ok(said), Some(open)));
        }
        tokio::select! {
            biased;
            () = &mut open.ended => {
                open.ongoing.stay();
                let cut = reply::error(Some(&open.ongoing.id), INVALID_REQUEST, CUT);
                return Some((Ok(event(&cut)), None));
            }
            next = open.ongoing.next() => match next {
                Next::Finished(finished) => {
                    open.ongoing.stay();
                    return Some((Ok(event(&finished.body(&open.ongoing.id))), None));
                }
                Next::Event(said) => open.said.extend(open.ongoing.say(said)),
            },
            _ = open.beat.tick() => open.said.push_back(comment()),
        }
    }
}

pub(super) fn comment() -> Bytes {
    Bytes::from_static(b": still working\n\n")
}

/// A message on one `data:` line. Another server's JSON may come with line breaks; between its parts they mean nothing, and
/// within its texts there are none.
pub(super) fn event(body: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(body.len() + 24);
    event.extend_from_slice(b"event: message\ndata: ");
    event.extend(body.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    event.extend_from_slice(b"\n\n");
    event.into()
}
