//! What was taken back and may still refuse a token: told to every node ahead of everything else, and who has it in force.
//!
//! Filled by the lane's task from the database; read by the streams. Counts in versions of its own, since the rows' sequence is
//! no order of commits.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1::{self, RevocationKind};

use crate::revocations::store::Row;

/// A row matters for this long: a token's life, clocks that differ, and time to spare.
const LIFE: Duration = Duration::from_secs(900);

/// With nothing to tell, a stream shows this often that it would tell.
const BEAT: Duration = Duration::from_secs(5);

/// Shared by the lane's task and the streams.
pub(super) struct Alerts {
    state: Mutex<State>,
    now: watch::Sender<Now>,
}

/// Where the alerts are; a change of it is what streams wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    /// 0 until the database was read.
    pub version: u64,
    /// Counts the times that the database was found to have nothing new.
    beat: u64,
}

#[derive(Default)]
struct State {
    rows: HashMap<i64, Known>,
    last_beat: Option<Instant>,
}

struct Known {
    tenant: TenantId,
    revocation: v1::Revocation,
    version: u64,
    since: Instant,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { state: Mutex::default(), now: watch::Sender::new(Now::default()) }
    }
}

impl Alerts {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds this lock can leave the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the database has. Streams hear of it if something is new, and every few seconds if not.
    pub(super) fn learn(&self, rows: Vec<Row>, at: Instant) {
        let mut state = self.state();
        let next = self.now.borrow().version + 1;
        let before = state.rows.len();
        for row in rows {
            state.rows.entry(row.sequence).or_insert_with(|| Known {
                tenant: row.tenant_id,
                revocation: message(row),
                version: next,
                since: at,
            });
        }
        let new = state.rows.len() > before || next == 1;
        state.rows.retain(|_, known| known.since + LIFE > at);
        let beat = state.last_beat.is_none_or(|last| last + BEAT <= at);
        if new || beat {
            state.last_beat = Some(at);
            drop(state);
            self.now.send_modify(|now| {
                now.version += u64::from(new);
                now.beat += 1;
            });
        }
    }

    /// Hears of changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<Now> {
        self.now.subscribe()
    }

    /// Waits until it is known what there is.
    pub(super) async fn known(&self) {
        // The sender lives as long as `self`, so the wait ends only with the value.
        let _ = self.now.subscribe().wait_for(|now| now.version > 0).await;
    }

    /// Everything that came after a version, for a node.
    pub(super) fn since(&self, version: u64) -> v1::Revocations {
        let state = self.state();
        let newer = state.rows.values().filter(|known| known.version > version);
        let revocations: Vec<_> = newer.map(|known| known.revocation.clone()).collect();
        // What is announced is in the list; what is in the list may be about to be announced.
        let newest = state.rows.values().map(|known| known.version).max().unwrap_or_default();
        let sequence = newest.max(self.now.borrow().version);
        v1::Revocations { sequence, revocations }
    }

    /// The version that holds a tenant's row, once it is known.
    pub(super) fn version_of(&self, tenant: TenantId, sequence: i64) -> Option<u64> {
        let state = self.state();
        state.rows.get(&sequence).filter(|known| known.tenant == tenant).map(|known| known.version)
    }
}

fn message(row: Row) -> v1::Revocation {
    let kind = match row.kind.as_str() {
        "grant" => RevocationKind::Grant,
        "client" => RevocationKind::Client,
        "user" => RevocationKind::User,
        "tenant" => RevocationKind::Tenant,
        _ => RevocationKind::Unspecified,
    };
    v1::Revocation {
        tenant_id: row.tenant_id.to_string(),
        kind: kind.into(),
        subject: row.subject,
        min_iat: row.min_iat,
        api_keys: row.api_keys,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::push) fn row(tenant: TenantId, sequence: i64) -> Row {
        Row {
            tenant_id: tenant,
            sequence,
            kind: "grant".into(),
            subject: format!("g{sequence}"),
            min_iat: 1,
            api_keys: false,
        }
    }

    fn subjects(told: &v1::Revocations) -> Vec<String> {
        let mut subjects: Vec<_> = told.revocations.iter().map(|r| r.subject.clone()).collect();
        subjects.sort();
        subjects
    }

    #[test]
    fn a_row_that_commits_late_under_an_early_sequence_is_told_all_the_same() {
        let (alerts, tenant, start) = (Alerts::default(), TenantId::new(), Instant::now());
        alerts.learn(vec![row(tenant, 5)], start);
        let first = alerts.since(0);
        assert_eq!((first.sequence, subjects(&first)), (1, vec!["g5".to_owned()]));
        alerts.learn(vec![row(tenant, 5), row(tenant, 3)], start);
        let second = alerts.since(first.sequence);
        assert_eq!((second.sequence, subjects(&second)), (2, vec!["g3".to_owned()]));
        assert_eq!(subjects(&alerts.since(0)), ["g3", "g5"]);
        assert_eq!(alerts.version_of(tenant, 3), Some(2));
        assert_eq!(alerts.version_of(TenantId::new(), 3), None, "another tenant's");
    }

    #[test]
    fn streams_hear_of_what_is_new_at_once_and_of_nothing_every_few_seconds() {
        let (alerts, tenant, start) = (Alerts::default(), TenantId::new(), Instant::now());
        let mut now = alerts.subscribe();
        alerts.learn(vec![], start);
        assert!(now.has_changed().unwrap());
        assert_eq!(now.borrow_and_update().version, 1, "known to be empty");
        alerts.learn(vec![], start);
        assert!(!now.has_changed().unwrap());
        let start = start + BEAT;
        alerts.learn(vec![], start);
        assert!(now.has_changed().unwrap());
        assert_eq!(now.borrow_and_update().version, 1);
        alerts.learn(vec![row(tenant, 1)], start);
        assert_eq!(now.borrow_and_update().version, 2);
    }

    #[test]
    fn what_refuses_no_living_token_is_not_kept() {
        let (alerts, tenant, start) = (Alerts::default(), TenantId::new(), Instant::now());
        alerts.learn(vec![row(tenant, 1)], start);
        alerts.learn(vec![], start + LIFE);
        assert!(alerts.since(0).revocations.is_empty());
    }
}
