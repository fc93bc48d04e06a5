//! A question on its way, and how its client hears of it: plain JSON if the answer comes soon and nothing is said before it,
//! else an event stream, which also shows that it lives, so that neither a proxy nor a client takes silence for an end.
//!
//! A client of the newest revision that goes away, or loses access, hangs up on its call; it is asked something by the answer to
//! its request. An older one is asked on its stream, and has a message to cancel a call: when it goes away, the call goes on to
//! its end, and its answer goes to nobody.

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
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::envelope::{INTERNAL_ERROR, INVALID_REQUEST, Id};
use super::questions::{Finished, Question, Resumption};
use super::revision::Revision;
use super::rounds::Bound;
use super::{levels, reply};
use crate::call::Caller;
use crate::call::line::{Answered, Ask, Client, Event, Line};
use crate::ingress::CallPermit;
use crate::members::Members;
use crate::peer::{Cancellable, Expected, Frame, Frames, Owner, ParkedCall};

/// Under which a client wants to hear of progress.
const PROGRESS: &str = "progressToken";

const CUT: &str = "Access was revoked while the call was on its way. Log in again.";

/// A question on its way.
pub(super) struct Ongoing {
    id: Id,
    wire: Wire,
    caller: Caller,
    source: Source,
}

/// Where what is said comes from.
enum Source {
    /// For a client of the newest revision, which is asked by the answer to its request: the call may wait on any node. Dropped,
    /// it hangs up on the call.
    Led(Frames, Bound),
    /// For an older client, which is asked while its request waits; the call goes on without it.
    Direct {
        heard: mpsc::Receiver<Event>,
        task: JoinHandle<Answered>,
        /// What the client was asked on this stream.
        expected: Vec<Expected>,
        _cancellable: Cancellable,
    },
}

/// What of the things said on the way the client is told.
struct Wire {
    revision: Revision,
    progress_token: Option<Value>,
    log_level: Option<usize>,
}

enum Next {
    Finished(Finished),
    Said(String, Box<RawValue>),
    Ask(Ask),
}

/// A client's request, as far as it matters to how it is answered.
pub(super) struct Asking<'a> {
    pub caller: &'a Caller,
    pub revision: Revision,
    pub id: Id,
    pub client: Client,
    /// What tells the caller's clients apart: the session, or what they were authenticated by.
    pub scope: String,
}

impl Asking<'_> {
    fn wire(&self) -> Wire {
        Wire {
            revision: self.revision,
            progress_token: self.client.meta.get(PROGRESS).cloned(),
            log_level: self.client.log_level.as_deref().and_then(levels::rank),
        }
    }

    /// Begins a call. The caller's line is this one.
    pub(super) fn begin(self, question: Question, permit: CallPermit) -> Ongoing {
        let (wire, owner) = (self.wire(), owner(self.caller));
        let Self { caller, revision, id, client, scope } = self;
        let hung_up = CancellationToken::new();
        let (line, heard) = Line::new(client, hung_up.clone());
        let caller = Caller { line, ..caller.clone() };
        let bound = question.bound().clone();
        let peers = caller.app.peers.clone();
        let cancellable = (revision != Revision::MODERN)
            .then(|| peers.cancellable(owner, &scope, id.0.get(), hung_up.clone()));
        let task = {
            let (caller, tracker) = (caller.clone(), caller.app.calls.clone());
            tracker.spawn(async move {
                // The call's own, not its connection's: it goes on when the client is gone.
                let _permit = permit;
                question.ask(&caller).await.answered()
            })
        };
        // The call holds the line's end; here it would keep it open.
        let caller = Caller { line: Line::silent(hung_up.clone()), ..caller };
        let source = match cancellable {
            Some(cancellable) => {
                Source::Direct { heard, task, expected: Vec::new(), _cancellable: cancellable }
            }
            None => {
                let call = ParkedCall { events: heard, outcome: task, hung_up: hung_up.drop_guard() };
                Source::Led(peers.lead(owner, call), bound)
            }
        };
        Ongoing { id, wire, caller, source }
    }

    /// Goes on with a call that waits for what this request brings.
    pub(super) async fn resume(self, resumption: Resumption) -> Result<Ongoing, Finished> {
        let (wire, owner) = (self.wire(), owner(self.caller));
        let Resumption { parked, answers, bound } = resumption;
        let resumed = self.caller.app.peers.resume(owner, &parked, answers).await;
        let frames = resumed.map_err(|error| Finished::not_resumed(&error))?;
        let source = Source::Led(frames, bound);
        Ok(Ongoing { id: self.id, wire, caller: self.caller.clone(), source })
    }
}

/// What of a request's `_meta` goes on to other servers: not what is between the client and us, nor who and where its user is.
pub(super) fn passed_on(mut meta: Map<String, Value>) -> Map<String, Value> {
    const OURS: &str = "io.modelcontextprotocol/";
    const OF_CHATGPT: &str = "openai/";
    meta.retain(|name, _| {
        !name.starts_with(OURS) && (!name.starts_with(OF_CHATGPT) || name == "openai/locale")
    });
    // A token is a text or a whole number; under anything else nobody can be told of progress.
    if meta.get(PROGRESS).is_some_and(|token| !(token.is_string() || token.is_i64() || token.is_u64())) {
        meta.remove(PROGRESS);
    }
    meta
}

/// Whose what a caller begins is.
pub(super) fn owner(caller: &Caller) -> Owner {
    Owner { tenant: caller.visit.tenant.id, subject: caller.principal.subject }
}

impl Ongoing {
    /// The response: JSON, or a stream where the client takes one and there is reason for it.
    pub(super) async fn response(mut self, takes_stream: bool) -> Response {
        let soon = tokio::time::sleep(self.caller.app.limits.stream_after);
        tokio::pin!(soon);
        loop {
            let next = tokio::select! {
                biased;
                next = self.next() => next,
                () = &mut soon, if takes_stream => return self.stream(comment()),
            };
            match next {
                Next::Finished(finished) => {
                    return reply::with_status(finished.status(self.wire.revision), finished.body(&self.id));
                }
                // A client that takes no stream hears of nothing, and cannot be asked.
                _ if !takes_stream => {}
                said => {
                    if let Some(said) = self.say(said) {
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
                return finished.body(&self.id);
            }
        }
    }

    async fn next(&mut self) -> Next {
        match &mut self.source {
            Source::Led(frames, bound) => match frames.next().await {
                Some(Frame::Notification { method, params }) => Next::Said(method, params),
                Some(Frame::Asks { parked, questions }) => {
                    Next::Finished(Finished::asks(&self.caller, bound, parked, questions))
                }
                Some(Frame::Done(answered)) => Next::Finished(Finished::of(answered)),
                None => Next::Finished(Finished::error(INTERNAL_ERROR, "The call broke off. Try again.")),
            },
            Source::Direct { heard, task, .. } => tokio::select! {
                biased;
                Some(event) = heard.recv() => match event {
                    Event::Notification { method, params } => Next::Said(method, params),
                    Event::Ask(ask) => Next::Ask(ask),
                },
                answered = task => Next::Finished(match answered {
                    Ok(answered) => Finished::of(answered),
                    Err(error) => {
                        tracing::error!(%error, "call ended without a reply");
                        Finished::error(INTERNAL_ERROR, "The call failed inside the gateway. Try again.")
                    }
                }),
            },
        }
    }

    /// What the client is told of something that the call says.
    fn say(&mut self, said: Next) -> Option<Bytes> {
        match (said, &mut self.source) {
            (Next::Said(method, params), _) => self.wire.notification(&method, params),
            (Next::Ask(ask), Source::Direct { expected, .. }) => {
                // Without room for one more question nobody answers, and whoever asked is told so.
                let held = self.caller.app.peers.expect(owner(&self.caller), ask.answer).ok()?;
                let mut message = Members::default();
                message.set_value("jsonrpc", &"2.0");
                message.set_value("id", &held.id);
                message.set_value("method", &ask.method);
                message.set("params", ask.params);
                expected.push(held);
                Some(event(message.write().get().as_bytes()))
            }
            (Next::Ask(_), Source::Led(..)) | (Next::Finished(_), _) => None,
        }
    }

    fn stream(self, first: Bytes) -> Response {
        let every = self.caller.app.limits.stream_beat;
        let mut beat = tokio::time::interval_at(Instant::now() + every, every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let standing = self.caller.standing.clone();
        let ended = Box::pin(async move { standing.ended().await });
        let open = Open { ongoing: self, ended, beat, said: VecDeque::from([first]) };
        event_stream(Body::from_stream(stream::unfold(Some(open), next)))
    }
}

impl Wire {
    fn notification(&self, method: &str, mut params: Box<RawValue>) -> Option<Bytes> {
        let told = match method {
            "notifications/progress" => {
                let token = self.progress_token.as_ref()?;
                let mut members = Members::read(params.get())?;
                // That of this request; the call may have begun with another.
                members.set_value(PROGRESS, token);
                params = members.write();
                true
            }
            "notifications/message" => {
                let members = Members::read(params.get())?;
                let of = members.read_as::<String>("level").as_deref().and_then(levels::rank)?;
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
            message.set("params", params);
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
                let cut = reply::error(Some(&open.ongoing.id), INVALID_REQUEST, CUT);
                return Some((Ok(event(&cut)), None));
            }
            next = open.ongoing.next() => match next {
                Next::Finished(finished) => {
                    return Some((Ok(event(&finished.body(&open.ongoing.id))), None));
                }
                said => open.said.extend(open.ongoing.say(said)),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_told_under_a_text_or_a_whole_number_alone() {
        let passed = |token: Value| {
            let meta = Map::from_iter([(PROGRESS.to_owned(), token), ("acme/x".to_owned(), json!(1))]);
            passed_on(meta).get(PROGRESS).cloned()
        };
        for token in [json!("p"), json!(""), json!(0), json!(-7), json!(u64::MAX)] {
            assert_eq!(passed(token.clone()), Some(token));
        }
        for token in [json!(null), json!(1.5), json!({"a": 1}), json!([]), json!(true)] {
            assert_eq!(passed(token.clone()), None, "{token}");
        }
    }
}
