//! What the control plane is told of MCP servers: how each fares on this node, and that one's definitions changed.
//!
//! Only the latest state of each is kept, and told again on every new stream, since the control plane forgets with the stream.
//! What does not fit is left out: it is for people to look at, and nothing depends on it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tokio::sync::Notify;
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::v1::node_message::Message;
use toolmesh_proto::v1::upstream_state::State;
use toolmesh_proto::v1::{UpstreamChanged, UpstreamState};

/// Most servers that are reported on.
const SERVERS: usize = 10_000;
/// Longest reason.
const DETAIL_CHARS: usize = 300;

type Key = (TenantId, InstallationId);

/// Takes reports. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Reporter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Known {
    states: HashMap<Key, UpstreamState>,
    /// Those of which the control plane has not heard yet.
    untold: HashSet<Key>,
    changed: HashSet<Key>,
}

impl Reporter {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a server fares now.
    pub fn state(&self, tenant: TenantId, installation: InstallationId, state: State, detail: &str) {
        let (key, mut known) = ((tenant, installation), self.lock());
        let before = known.states.get(&key).filter(|before| before.state() != State::Well);
        if before.is_none() && state == State::Well {
            return;
        }
        if known.states.len() >= SERVERS && !known.states.contains_key(&key) {
            return;
        }
        // While it is tried and left alone again, it has not been well since the first time, and for the last known reason.
        let before = before.filter(|_| state != State::Well);
        let detail =
            if detail.is_empty() { before.map_or("", |before| before.detail.as_str()) } else { detail };
        let told = UpstreamState {
            tenant_id: tenant.to_string(),
            installation_id: installation.to_string(),
            state: state.into(),
            detail: detail.chars().take(DETAIL_CHARS).collect(),
            since: before.map_or_else(|| OffsetDateTime::now_utc().unix_timestamp(), |before| before.since),
        };
        known.states.insert(key, told);
        known.untold.insert(key);
        self.0.news.notify_one();
    }

    /// A server's definitions changed.
    pub fn changed(&self, tenant: TenantId, installation: InstallationId) {
        let mut known = self.lock();
        if known.changed.len() < SERVERS {
            known.changed.insert((tenant, installation));
            self.0.news.notify_one();
        }
    }

    /// A new stream: everything that is not as usual is told again.
    pub(super) fn again(&self) {
        let mut guard = self.lock();
        let known = &mut *guard;
        known.untold.extend(known.states.keys().copied());
        self.0.news.notify_one();
    }

    /// Waits until there is something to tell, and takes it.
    pub async fn next(&self) -> Message {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            self.0.news.notified().await;
        }
    }

    fn take(&self) -> Option<Message> {
        let mut guard = self.lock();
        let known = &mut *guard;
        if let Some(key) = known.changed.iter().next().copied() {
            known.changed.remove(&key);
            let (tenant_id, installation_id) = (key.0.to_string(), key.1.to_string());
            return Some(Message::UpstreamChanged(UpstreamChanged { tenant_id, installation_id }));
        }
        let key = known.untold.iter().next().copied()?;
        known.untold.remove(&key);
        let state = known.states.get(&key)?.clone();
        // One that is well again is as usual.
        if state.state() == State::Well {
            known.states.remove(&key);
        }
        Some(Message::UpstreamState(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_state_is_told_once_and_again_on_a_new_stream() {
        let (reporter, tenant, server) = (Reporter::default(), TenantId::new(), InstallationId::new());
        let states = |reporter: &Reporter| {
            let mut states = Vec::new();
            while let Some(Message::UpstreamState(state)) = reporter.take() {
                states.push((state.state(), state.detail));
            }
            states
        };
        reporter.state(tenant, server, State::Well, "");
        assert_eq!(states(&reporter), [], "what is well from the start is no news");
        reporter.state(tenant, server, State::Open, "it is away");
        reporter.state(tenant, server, State::Trying, "");
        reporter.state(tenant, server, State::Open, "still away");
        let open = [(State::Open, "still away".to_owned())];
        assert_eq!(states(&reporter), open);
        assert_eq!(states(&reporter), []);
        reporter.again();
        assert_eq!(states(&reporter), open);
        reporter.state(tenant, server, State::Trying, "");
        assert_eq!(
            states(&reporter),
            [(State::Trying, "still away".to_owned())],
            "the reason is still the same"
        );
        reporter.state(tenant, server, State::Well, "");
        assert_eq!(states(&reporter), [(State::Well, String::new())]);
        reporter.again();
        assert_eq!(states(&reporter), []);
    }

    #[tokio::test]
    async fn a_change_that_is_told_many_times_is_one() {
        let (reporter, tenant, server) = (Reporter::default(), TenantId::new(), InstallationId::new());
        (0..100).for_each(|_| reporter.changed(tenant, server));
        assert!(matches!(reporter.next().await, Message::UpstreamChanged(_)));
        assert!(reporter.take().is_none());
    }
}
