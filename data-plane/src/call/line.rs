//! The line between a call and whoever made it, while the call is under way: what it says before its answer, what it asks,
//! and that nobody waits for it any more.
//!
//! A call knows nothing of how its caller is reached: by which era of the protocol, on which node, in how many requests.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::execute::scrubber::Scrubber;

/// What is said and not yet taken by the caller's stream. A caller that reads slowly slows the call down.
const WAITING: usize = 32;

/// The call's end of the line. Clones are the same line.
#[derive(Clone, Debug)]
pub struct Line {
    events: Option<mpsc::Sender<Event>>,
    hung_up: CancellationToken,
    client: Arc<Client>,
    /// Takes out of what is said what nobody may hear.
    scrubber: Option<Arc<Scrubber>>,
}

/// What the client said of itself and of this request.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Its capabilities (`elicitation`, `sampling`, `roots`, `extensions`), as it declared them; empty for nothing known.
    pub capabilities: Map<String, Value>,
    /// `_meta` of the request without what is between the client and us: progress token, trace context, vendors' keys.
    pub meta: Map<String, Value>,
    /// Lowest level of log messages that it wants; `None` for none.
    pub log_level: Option<String>,
    /// It answers what it is asked with its next request, not while this one waits (2026-07-28).
    pub rounds: bool,
}

/// What a call says on its way.
#[derive(Debug)]
pub enum Event {
    /// A notification for the client, such as `notifications/progress`, with its params as they were sent.
    Notification { method: String, params: Box<RawValue> },
    /// A request to the client: `elicitation/create`, `sampling/createMessage` or `roots/list`.
    Ask(Ask),
}

/// A request to the client, and where its answer goes.
#[derive(Debug)]
pub struct Ask {
    pub method: String,
    pub params: Box<RawValue>,
    pub answer: oneshot::Sender<Answered>,
}

/// What a client answers: a result, or its own error as it sent it.
#[derive(Clone, Debug)]
pub enum Answered {
    Result(Box<RawValue>),
    Error(Box<RawValue>),
}

/// Nobody answers: the caller is gone, or cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the caller cannot be asked")]
pub struct NoAnswer;

impl Line {
    /// A line and its other end.
    #[must_use]
    pub fn new(client: Client, hung_up: CancellationToken) -> (Self, mpsc::Receiver<Event>) {
        let (events, heard) = mpsc::channel(WAITING);
        (Self { events: Some(events), hung_up, client: Arc::new(client), scrubber: None }, heard)
    }

    /// A line with nobody at its other end, for calls that code makes.
    #[must_use]
    pub fn silent(hung_up: CancellationToken) -> Self {
        Self { events: None, hung_up, client: Arc::default(), scrubber: None }
    }

    /// The same line, on which these secrets are not said.
    #[must_use]
    pub fn without(&self, secrets: Scrubber) -> Self {
        Self { scrubber: Some(Arc::new(secrets)), ..self.clone() }
    }

    fn cleaned(&self, params: Box<RawValue>) -> Box<RawValue> {
        match &self.scrubber {
            Some(scrubber) => scrubber.cleaned(&params),
            None => params,
        }
    }

    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Cancelled when nobody waits for the answer any more.
    #[must_use]
    pub const fn hung_up(&self) -> &CancellationToken {
        &self.hung_up
    }

    /// Whether the client said that it can be asked this (`elicitation`, `sampling`, `roots`).
    #[must_use]
    pub fn can(&self, capability: &str) -> bool {
        self.events.is_some() && self.client.capabilities.get(capability).is_some_and(Value::is_object)
    }

    /// Says something; waits for the caller's stream where that is slow.
    pub async fn tell(&self, method: impl Into<String>, params: Box<RawValue>) {
        let Some(events) = &self.events else { return };
        let event = Event::Notification { method: method.into(), params: self.cleaned(params) };
        // Who is gone hears nothing.
        let _ = self.hung_up.run_until_cancelled(events.send(event)).await;
    }

    /// Asks the client and waits for its answer. Whoever asks sets the time limit.
    ///
    /// # Errors
    /// When the caller is gone or cannot be asked.
    pub async fn ask(&self, method: impl Into<String>, params: Box<RawValue>) -> Result<Answered, NoAnswer> {
        let events = self.events.as_ref().ok_or(NoAnswer)?;
        let (answer, answered) = oneshot::channel();
        let ask = Event::Ask(Ask { method: method.into(), params: self.cleaned(params), answer });
        let asking = async {
            events.send(ask).await.map_err(|_| NoAnswer)?;
            answered.await.map_err(|_| NoAnswer)
        };
        self.hung_up.run_until_cancelled(asking).await.ok_or(NoAnswer)?
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    fn params() -> Box<RawValue> {
        to_raw_value(&serde_json::json!({})).unwrap()
    }

    #[tokio::test]
    async fn an_answer_comes_back_to_who_asked() {
        let (line, mut heard) = Line::new(Client::default(), CancellationToken::new());
        let client = tokio::spawn(async move {
            let Some(Event::Ask(ask)) = heard.recv().await else { panic!("nothing was asked") };
            assert_eq!(ask.method, "roots/list");
            ask.answer.send(Answered::Result(params())).unwrap();
        });
        assert!(matches!(line.ask("roots/list", params()).await, Ok(Answered::Result(_))));
        client.await.unwrap();
    }

    #[tokio::test]
    async fn who_is_gone_is_not_waited_for() {
        let gone = CancellationToken::new();
        let (line, _heard) = Line::new(Client::default(), gone.clone());
        gone.cancel();
        assert_eq!(line.ask("roots/list", params()).await.err(), Some(NoAnswer));
        assert_eq!(Line::silent(gone).ask("roots/list", params()).await.err(), Some(NoAnswer));
    }
}
