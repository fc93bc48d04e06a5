//! A long answer as an event stream, so that neither a proxy nor a client takes silence for an end. A stream whose caller
//! loses access is cut: the call goes on to its end, and its answer goes to nobody.

use std::convert::Infallible;
use std::pin::Pin;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::envelope::INVALID_REQUEST;
use super::reply;
use super::tools::Pending;
use crate::config::Limits;
use crate::ingress::Standing;

const CUT: &str = "Access was revoked while the call was on its way. Log in again.";

/// Plain JSON if the answer comes soon, else a stream that shows that it lives until the answer comes.
pub(super) async fn answer(pending: Pending, standing: Standing, limits: &Limits) -> Response {
    let cut = reply::error(Some(pending.id()), INVALID_REQUEST, CUT);
    let mut answer: Answer = Box::pin(pending.wait());
    if let Ok(body) = tokio::time::timeout(limits.stream_after, &mut answer).await {
        return reply::json(body);
    }
    let mut beat = tokio::time::interval_at(Instant::now() + limits.stream_beat, limits.stream_beat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = Box::pin(async move {
        standing.ended().await;
        cut
    });
    let events = stream::unfold(State::Begun(Open { answer, ended, beat }), next);
    event_stream(Body::from_stream(events))
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

type Answer = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// A stream that waits for its answer.
struct Open {
    answer: Answer,
    /// What is said instead when the caller's access ends.
    ended: Answer,
    beat: Interval,
}

enum State {
    Begun(Open),
    Waiting(Open),
    Ended,
}

async fn next(state: State) -> Option<(Result<Bytes, Infallible>, State)> {
    match state {
        State::Begun(open) => Some((Ok(comment()), State::Waiting(open))),
        State::Waiting(mut open) => {
            tokio::select! {
                biased;
                body = &mut open.ended => Some((Ok(event(&body)), State::Ended)),
                body = &mut open.answer => Some((Ok(event(&body)), State::Ended)),
                _ = open.beat.tick() => Some((Ok(comment()), State::Waiting(open))),
            }
        }
        State::Ended => None,
    }
}

pub(super) fn comment() -> Bytes {
    Bytes::from_static(b": still working\n\n")
}

/// Replies are written without line breaks, so one `data:` line holds them.
pub(super) fn event(body: &[u8]) -> Bytes {
    [b"event: message\ndata: ", body, b"\n\n"].concat().into()
}
