//! A long answer as an event stream, so that neither a proxy nor a client takes silence for an end.

use std::convert::Infallible;
use std::pin::Pin;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::reply;
use super::tools::Pending;
use crate::config::Limits;

/// Plain JSON if the answer comes soon, else a stream that shows that it lives until the answer comes.
pub(super) async fn answer(pending: Pending, limits: &Limits) -> Response {
    let mut answer: Answer = Box::pin(pending.wait());
    if let Ok(body) = tokio::time::timeout(limits.stream_after, &mut answer).await {
        return reply::json(body);
    }
    let mut beat = tokio::time::interval_at(Instant::now() + limits.stream_beat, limits.stream_beat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = stream::unfold(State::Begun(answer, beat), next);
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx and what descends from it would hold the stream back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

type Answer = Pin<Box<dyn Future<Output = Bytes> + Send>>;

enum State {
    Begun(Answer, Interval),
    Waiting(Answer, Interval),
    Ended,
}

async fn next(state: State) -> Option<(Result<Bytes, Infallible>, State)> {
    match state {
        State::Begun(answer, beat) => Some((Ok(comment()), State::Waiting(answer, beat))),
        State::Waiting(mut answer, mut beat) => {
            tokio::select! {
                biased;
                body = &mut answer => Some((Ok(event(&body)), State::Ended)),
                _ = beat.tick() => Some((Ok(comment()), State::Waiting(answer, beat))),
            }
        }
        State::Ended => None,
    }
}

fn comment() -> Bytes {
    Bytes::from_static(b": still working\n\n")
}

/// Replies are written without line breaks, so one `data:` line holds them.
fn event(body: &[u8]) -> Bytes {
    [b"event: message\ndata: ", body, b"\n\n"].concat().into()
}
