//! A call that waits for its client's next request, and what it says when it goes on.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use toolmesh_proto::v1;

use super::{Owner, Peers, letter};
use crate::call::line::{Answered, Ask, Event};

/// Frames that the client's stream has not taken yet; a slow client slows the call down.
const UNTAKEN: usize = 8;
/// Most questions that are put to a client at a time; the rest come with the next round.
const QUESTIONS: usize = 16;

/// A call under way, as whoever follows it holds it. Dropped, it hangs up on the call.
#[derive(Debug)]
pub struct ParkedCall {
    pub events: mpsc::Receiver<Event>,
    /// Its result, or its error as JSON-RPC has it (`code`, `message`, `data`), without an id.
    pub outcome: JoinHandle<Answered>,
    pub hung_up: DropGuard,
}

/// What a followed call says.
#[derive(Debug)]
pub enum Frame {
    Notification {
        method: String,
        params: Box<RawValue>,
    },
    /// The call waits under this id until it is resumed with answers by key: method and params of each question. Nothing
    /// comes after it.
    Asks {
        parked: String,
        questions: BTreeMap<String, (String, Box<RawValue>)>,
    },
    /// Nothing comes after it.
    Done(Answered),
}

/// What a call says, until it asks or ends. Dropped before, it hangs up on the call.
#[derive(Debug)]
pub struct Frames(pub(super) mpsc::Receiver<Frame>);

impl Frames {
    /// The next one; `None` after the last.
    pub async fn next(&mut self) -> Option<Frame> {
        self.0.recv().await
    }
}

/// A call and what it has asked.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) call: ParkedCall,
    pub(super) asks: BTreeMap<String, Ask>,
}

impl Parked {
    pub(super) fn is_alive(&self) -> bool {
        !self.call.outcome.is_finished() && self.asks.values().any(|ask| !ask.answer.is_closed())
    }

    /// Passes the answers on; what nobody asked is thrown away.
    pub(super) fn answer(&mut self, answers: BTreeMap<String, Answered>) {
        for (key, answer) in answers {
            if let Some(ask) = self.asks.remove(&key) {
                // Whoever asked may have stopped waiting; the call says what came of it.
                let _ = ask.answer.send(answer);
            }
        }
        self.asks.retain(|_, ask| !ask.answer.is_closed());
    }

    /// Takes a question, and those that were asked along with it.
    fn ask(&mut self, ask: Ask) {
        let mut number = 1;
        let mut add = |asks: &mut BTreeMap<String, Ask>, ask| {
            while asks.contains_key(&format!("q{number}")) {
                number += 1;
            }
            asks.insert(format!("q{number}"), ask);
        };
        add(&mut self.asks, ask);
        while self.asks.len() < QUESTIONS {
            match self.call.events.try_recv() {
                Ok(Event::Ask(ask)) => add(&mut self.asks, ask),
                // What is said beside a question is no answer to anything; the next round says what is said then.
                Ok(Event::Notification { .. }) => {}
                Err(_) => break,
            }
        }
    }

    fn questions(&self) -> BTreeMap<String, (String, Box<RawValue>)> {
        self.asks.iter().map(|(key, ask)| (key.clone(), (ask.method.clone(), ask.params.clone()))).collect()
    }
}

/// Follows a call until it asks or ends.
pub(super) fn drive(peers: Peers, owner: Owner, parked: Parked) -> Frames {
    let (frames, taken) = mpsc::channel(UNTAKEN);
    tokio::spawn(async move {
        let last = follow(peers, owner, parked, &frames).await;
        if let Some(last) = last {
            // Who is gone hears nothing.
            let _ = frames.send(last).await;
        }
    });
    Frames(taken)
}

/// The last frame; `None` if nobody listens any more, and then the call is hung up on.
async fn follow(
    peers: Peers,
    owner: Owner,
    mut parked: Parked,
    frames: &mpsc::Sender<Frame>,
) -> Option<Frame> {
    let mut speaks = true;
    while parked.asks.is_empty() {
        tokio::select! {
            biased;
            () = frames.closed() => return None,
            event = parked.call.events.recv(), if speaks => match event {
                Some(Event::Notification { method, params }) => {
                    frames.send(Frame::Notification { method, params }).await.ok()?;
                }
                Some(Event::Ask(ask)) => parked.ask(ask),
                None => speaks = false,
            },
            outcome = &mut parked.call.outcome => return Some(Frame::Done(outcome.unwrap_or_else(|error| {
                tracing::error!(%error, "call ended without an outcome");
                failed(-32603, "The call failed inside the gateway. Try again.")
            }))),
        }
    }
    let questions = parked.questions();
    Some(match peers.park(owner, parked) {
        Ok(parked) => Frame::Asks { parked, questions },
        Err(full) => Frame::Done(failed(-32000, &full.to_string())),
    })
}

/// An error as JSON-RPC has it.
pub(super) fn failed(code: i32, message: &str) -> Answered {
    let error = serde_json::json!({ "code": code, "message": message });
    Answered::Error(serde_json::value::to_raw_value(&error).unwrap_or_default())
}

/// A frame as it travels.
pub(super) fn written(frame: Frame) -> v1::Frame {
    use v1::frame::Frame as Wire;
    let frame = match frame {
        Frame::Notification { method, params } => Wire::Notification(said(method, &params)),
        Frame::Asks { parked, questions } => {
            let questions =
                questions.into_iter().map(|(key, (method, params))| (key, said(method, &params))).collect();
            Wire::Questions(v1::Questions { parked, questions })
        }
        Frame::Done(outcome) => Wire::Outcome(letter::answer(&outcome)),
    };
    v1::Frame { frame: Some(frame) }
}

fn said(method: String, params: &RawValue) -> v1::Said {
    v1::Said { method, params_json: params.get().to_owned() }
}

pub(super) fn read(frame: v1::Frame) -> Option<Frame> {
    use v1::frame::Frame as Wire;
    let heard = |said: v1::Said| Some((said.method, RawValue::from_string(said.params_json).ok()?));
    match frame.frame? {
        Wire::Notification(said) => {
            heard(said).map(|(method, params)| Frame::Notification { method, params })
        }
        Wire::Questions(v1::Questions { parked, questions }) => {
            let questions = questions.into_iter().map(|(key, said)| Some((key, heard(said)?)));
            Some(Frame::Asks { parked, questions: questions.collect::<Option<_>>()? })
        }
        Wire::Outcome(outcome) => letter::read_answer(Some(outcome)).map(Frame::Done),
    }
}
