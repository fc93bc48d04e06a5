//! The nodes that are connected, and the connection tests that they are asked to make.
//!
//! Knows nothing of bundles.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1;

use crate::error::{Error, Result};

/// How long a connection test may take, the node's own deadline included.
const PROBE_DEADLINE: Duration = Duration::from_secs(20);

/// Connection tests that wait to be sent to one node.
const PROBES: usize = 8;

/// All seats. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Seats(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Sent when a node has more revocations in force, or is no longer here.
    acks: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    /// Who was asked last; the next one's turn is next.
    last_asked: u64,
    waiting: HashMap<String, Waiting>,
}

struct Node {
    name: String,
    /// Whether it has all bundles, and may be asked.
    ready: bool,
    /// The version of revocations that it has in force; 0 for none.
    revocations: u64,
    probes: mpsc::Sender<v1::ProbeRequest>,
}

/// Somebody who waits for a test's result.
struct Waiting {
    node: u64,
    answer: oneshot::Sender<v1::ProbeResult>,
}

/// A node's place; leaving scope, it is free, and who waits for an answer from there learns of it.
pub(super) struct Seat {
    seats: Seats,
    id: u64,
}

/// What a node is to be told.
pub(super) struct Feed {
    pub changes: broadcast::Receiver<TenantId>,
    pub probes: mpsc::Receiver<v1::ProbeRequest>,
}

/// The right to one answer; leaving scope, nobody waits any more.
struct Ticket {
    seats: Seats,
    probe: String,
}

impl Seats {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds this lock can leave the state half-changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many nodes have a version of the revocations in force, and how many nodes there are.
    pub fn acked(&self, version: u64) -> (usize, usize) {
        let state = self.state();
        let have = state.nodes.values().filter(|node| node.revocations >= version).count();
        (have, state.nodes.len())
    }

    /// The names of the nodes that are connected.
    pub fn names(&self) -> BTreeSet<String> {
        self.state().nodes.values().map(|node| node.name.clone()).collect()
    }

    /// Waits until every node has a version of the revocations in force. One that leaves is waited for no longer: it takes
    /// them when it is back, before anything else.
    pub async fn all_acked(&self, version: u64) {
        let mut acks = self.0.acks.subscribe();
        loop {
            let (have, of) = self.acked(version);
            // The sender lives as long as `self`.
            if have == of || acks.changed().await.is_err() {
                return;
            }
        }
    }

    pub fn take(&self, name: String, changes: broadcast::Receiver<TenantId>) -> (Seat, Feed) {
        let (sender, probes) = mpsc::channel(PROBES);
        let mut state = self.state();
        state.next_node += 1;
        let id = state.next_node;
        state.nodes.insert(id, Node { name, ready: false, revocations: 0, probes: sender });
        (Seat { seats: self.clone(), id }, Feed { changes, probes })
    }

    /// See `Hub::probe`.
    pub async fn probe(&self, request: v1::ProbeRequest) -> Result<v1::ProbeResult> {
        let (_ticket, answer) = self.ask(request)?;
        match tokio::time::timeout(PROBE_DEADLINE, answer).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(refused("The node that made the test left before it answered. Try again.")),
            Err(_) => Err(refused("The node did not answer within 20 seconds. Try again.")),
        }
    }

    /// Hands the request to the ready node whose turn it is, or where that has enough to do, to the one after.
    fn ask(&self, mut request: v1::ProbeRequest) -> Result<(Ticket, oneshot::Receiver<v1::ProbeResult>)> {
        let probe = request.probe_id.clone();
        let mut state = self.state();
        if state.waiting.contains_key(&probe) {
            return Err(Error::Internal("a connection test's id was used twice".to_owned()));
        }
        let turns = state.turns();
        if turns.is_empty() {
            return Err(refused("No data-plane node is connected, so the connection cannot be tested now."));
        }
        for id in turns {
            let Some(node) = state.nodes.get(&id) else { continue };
            match node.probes.try_send(request) {
                Ok(()) => {
                    let (answer, receiver) = oneshot::channel();
                    state.last_asked = id;
                    state.waiting.insert(probe.clone(), Waiting { node: id, answer });
                    return Ok((Ticket { seats: self.clone(), probe }, receiver));
                }
                Err(TrySendError::Full(back) | TrySendError::Closed(back)) => request = back,
            }
        }
        Err(Error::Busy)
    }
}

impl State {
    /// Ready nodes, beginning after the one that was asked last.
    fn turns(&self) -> Vec<u64> {
        let later = self.nodes.range(self.last_asked + 1..);
        let earlier = self.nodes.range(..=self.last_asked);
        later.chain(earlier).filter(|(_, node)| node.ready).map(|(id, _)| *id).collect()
    }
}

impl Seat {
    /// From now on this node may be asked to test connections.
    pub fn set_ready(&self) {
        if let Some(node) = self.seats.state().nodes.get_mut(&self.id) {
            node.ready = true;
        }
    }

    /// This node has all revocations up to a version in force.
    pub fn set_revocations(&self, version: u64) {
        if let Some(node) = self.seats.state().nodes.get_mut(&self.id) {
            node.revocations = node.revocations.max(version);
        }
        self.seats.0.acks.send_replace(());
    }

    /// Passes an answer on to who waits for it. Only the node that was asked may answer.
    pub fn answer(&self, result: v1::ProbeResult) {
        let mut state = self.seats.state();
        let asked = state.waiting.get(&result.probe_id).is_some_and(|waiting| waiting.node == self.id);
        let waiting = if asked { state.waiting.remove(&result.probe_id) } else { None };
        drop(state);
        // Whoever asked may have left.
        if let Some(waiting) = waiting {
            let _ = waiting.answer.send(result);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.state();
        let node = state.nodes.remove(&self.id);
        let before = state.waiting.len();
        state.waiting.retain(|_, waiting| waiting.node != self.id);
        let unanswered = before - state.waiting.len();
        drop(state);
        self.seats.0.acks.send_replace(());
        if let Some(Node { name, .. }) = node.filter(|_| unanswered > 0) {
            tracing::warn!(node = name, unanswered, "node left in the middle of connection tests");
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.seats.state().waiting.remove(&self.probe);
    }
}

fn refused(message: &str) -> Error {
    Error::Refused(message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(seats: &Seats) -> (Seat, Feed) {
        let changes = broadcast::Sender::new(1);
        let (seat, feed) = seats.take("n".into(), changes.subscribe());
        seat.set_ready();
        (seat, feed)
    }

    fn request(id: impl Into<String>) -> v1::ProbeRequest {
        v1::ProbeRequest { probe_id: id.into(), ..v1::ProbeRequest::default() }
    }

    fn result(id: &str, ok: bool) -> v1::ProbeResult {
        v1::ProbeResult { probe_id: id.into(), ok, steps: Vec::new() }
    }

    #[tokio::test]
    async fn the_node_that_was_asked_answers_and_no_other() {
        let seats = Seats::default();
        let (first, mut feed) = node(&seats);
        let (second, _feed) = node(&seats);
        let (answer, ()) = tokio::join!(seats.probe(request("a")), async {
            assert_eq!(feed.probes.recv().await.unwrap().probe_id, "a");
            second.answer(result("a", false));
            first.answer(result("a", true));
        });
        assert!(answer.unwrap().ok);
        assert!(seats.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_node_that_has_not_caught_up_is_not_asked() {
        let seats = Seats::default();
        let (_seat, _feed) = seats.take("n".into(), broadcast::Sender::new(1).subscribe());
        assert!(
            matches!(seats.probe(request("a")).await, Err(Error::Refused(why)) if why.contains("No data-plane node"))
        );
    }

    #[test]
    fn tests_go_around_and_past_a_node_that_has_enough_to_do() {
        let seats = Seats::default();
        let (_first, first) = node(&seats);
        let (_second, mut second) = node(&seats);
        let mut tickets = Vec::new();
        for number in 0..2 * PROBES {
            tickets.push(seats.ask(request(number.to_string())).unwrap());
        }
        assert_eq!((first.probes.len(), second.probes.len()), (PROBES, PROBES));
        assert!(matches!(seats.ask(request("one too many")), Err(Error::Busy)));
        second.probes.try_recv().unwrap();
        tickets.push(seats.ask(request("another")).unwrap());
        assert_eq!(second.probes.len(), PROBES);
    }

    #[tokio::test]
    async fn who_waits_for_a_node_that_leaves_learns_of_it_at_once() {
        let seats = Seats::default();
        let (seat, feed) = node(&seats);
        let (answer, ()) = tokio::join!(seats.probe(request("a")), async { drop((seat, feed)) });
        assert!(matches!(answer, Err(Error::Refused(why)) if why.contains("left")));
    }

    #[test]
    fn nothing_stays_behind_when_who_asked_goes_away() {
        let seats = Seats::default();
        let (seat, _feed) = node(&seats);
        let asked = seats.ask(request("a")).unwrap();
        assert_eq!(seats.state().waiting.len(), 1);
        drop(asked);
        assert!(seats.state().waiting.is_empty());
        seat.answer(result("a", true));
    }
}
