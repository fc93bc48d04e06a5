//! What the rate limits refused, counted until the audit log is told: one event a minute for each bucket, however many requests
//! that were. A flood is seen by those who answer for the workspace, and cannot fill the log that they see it in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use toolmesh_proto::beside_calls;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::{RequestId, TenantId};
use toolmesh_proto::v1::{AuditEvent, Outcome};

use super::rate::{Exceeded, Limit, Whom};
use crate::node::App;

/// How often is looked whether anything is to be told.
const LOOK: Duration = Duration::from_secs(1);
/// How long a count is left to grow before it is told, and how long after that the bucket is silent, in nanoseconds.
const GROWS: u64 = 3_000_000_000;
const SILENT: u64 = 60_000_000_000;
/// Most buckets that are counted for at a time, and most events of one workspace at one look; the others wait.
const BUCKETS: usize = 100_000;
const EVENTS: usize = 20;

/// The counts of one node, by whose bucket was empty.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Whom, Count>>);

/// What one bucket refused and nobody was told.
#[derive(Clone, Copy, Debug)]
struct Count {
    refused: u64,
    /// When the first of them was refused, in nanoseconds since the node began.
    since: u64,
    /// When a count was told last.
    told_at: Option<u64>,
    exceeded: Exceeded,
    /// Who asked, where that was looked at.
    subject: Option<Subject>,
}

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, HashMap<Whom, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one request that was refused.
    pub(super) fn count(&self, now: u64, whom: Whom, subject: Option<Subject>, exceeded: Exceeded) {
        let mut counts = self.lock();
        if counts.len() >= BUCKETS && !counts.contains_key(&whom) {
            return;
        }
        let new = Count { refused: 0, since: now, told_at: None, exceeded, subject };
        let count = counts.entry(whom).or_insert(new);
        if count.refused == 0 {
            count.since = now;
        }
        count.refused = count.refused.saturating_add(1);
        count.exceeded = exceeded;
    }

    /// Takes what is to be told by now.
    pub(super) fn due(&self, now: u64) -> Vec<AuditEvent> {
        self.take(
            |count| {
                now.saturating_sub(count.since) >= GROWS
                    && count.told_at.is_none_or(|told| now.saturating_sub(told) >= SILENT)
            },
            now,
        )
    }

    /// Takes all that was not told yet.
    pub(super) fn rest(&self) -> Vec<AuditEvent> {
        self.take(|_| true, 0)
    }

    fn take(&self, due: impl Fn(&Count) -> bool, now: u64) -> Vec<AuditEvent> {
        let (mut counts, mut events) = (self.lock(), Vec::new());
        let mut told: HashMap<TenantId, usize> = HashMap::new();
        for (whom, count) in counts.iter_mut().filter(|(_, count)| count.refused > 0 && due(count)) {
            let told = told.entry(whom.tenant()).or_default();
            if *told < EVENTS {
                *told += 1;
                events.push(event(whom, count));
                (count.refused, count.told_at) = (0, Some(now));
            }
        }
        counts.retain(|_, count| {
            count.refused > 0 || count.told_at.is_some_and(|told| now.saturating_sub(told) < SILENT)
        });
        events
    }
}

fn event(whom: &Whom, count: &Count) -> AuditEvent {
    let Count { refused, exceeded, .. } = count;
    let (requests, whose) = (
        if *refused == 1 { "request" } else { "requests" },
        match exceeded.limit {
            Limit::Tenant => "this workspace",
            Limit::Caller => "one caller, over all their clients and keys",
            Limit::Key => "this API key",
        },
    );
    tracing::warn!(tenant = %whom.tenant(), limit = exceeded.limit.as_str(), refused, "rate limit reached");
    let (user_id, service_account_id) = match count.subject {
        Some(Subject::User(id)) => (id.to_string(), String::new()),
        Some(Subject::Service(id)) => (String::new(), id.to_string()),
        None => (String::new(), String::new()),
    };
    let micros = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000;
    let mut event = AuditEvent {
        at_micros: i64::try_from(micros).unwrap_or_default(),
        tenant_id: whom.tenant().to_string(),
        request_id: RequestId::new().to_string(),
        user_id,
        service_account_id,
        api_key_id: whom.key().map(|key| key.to_string()).unwrap_or_default(),
        method: beside_calls::REFUSED.to_owned(),
        arguments_json: "{}".to_owned(),
        reason: format!(
            "Refused {refused} {requests}: limit of {} a minute for {whose}.",
            exceeded.per_minute
        ),
        ..AuditEvent::default()
    };
    event.set_outcome(Outcome::Denied);
    event
}

/// Tells the audit log of one node's refusals until it is told to stop, and then what is left.
pub async fn tell(app: Arc<App>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        app.rates.due().into_iter().for_each(|event| app.recorder.record(event, None));
    }
    app.rates.rest().into_iter().for_each(|event| app.recorder.record(event, None));
}

#[cfg(test)]
mod tests {
    use toolmesh_proto::ids::{ApiKeyId, UserId};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn exceeded(limit: Limit) -> Exceeded {
        Exceeded { limit, per_minute: 600, wait: Duration::from_secs(1) }
    }

    fn reasons(events: &[AuditEvent]) -> Vec<&str> {
        events.iter().map(|event| event.reason.as_str()).collect()
    }

    #[test]
    fn a_flood_is_one_event_a_minute_with_the_number_refused() {
        let (refusals, tenant) = (Refusals::default(), TenantId::new());
        let refuse = |count: u64, now: u64| {
            for _ in 0..count {
                refusals.count(now, Whom::Tenant(tenant), None, exceeded(Limit::Tenant));
            }
        };
        refuse(312, 0);
        assert!(refusals.due(SECOND).is_empty(), "it is left to grow");
        let events = refusals.due(3 * SECOND);
        assert_eq!(reasons(&events), ["Refused 312 requests: limit of 600 a minute for this workspace."]);
        assert_eq!(
            (events[0].tenant_id.as_str(), events[0].outcome()),
            (&*tenant.to_string(), Outcome::Denied)
        );
        for second in 4..60 {
            refuse(10, second * SECOND);
            assert!(refusals.due(second * SECOND).is_empty(), "after {second} seconds");
        }
        assert_eq!(
            reasons(&refusals.due(63 * SECOND)),
            ["Refused 560 requests: limit of 600 a minute for this workspace."]
        );
        assert!(refusals.due(200 * SECOND).is_empty());
        assert!(refusals.lock().is_empty(), "whoever is silent takes no memory");
    }

    #[test]
    fn each_caller_and_key_is_told_of_by_itself_and_what_is_left_at_the_end_too() {
        let (refusals, tenant) = (Refusals::default(), TenantId::new());
        let (ada, key) = (Subject::User(UserId::new()), ApiKeyId::new());
        refusals.count(0, Whom::Caller(tenant, ada), Some(ada), exceeded(Limit::Caller));
        refusals.count(0, Whom::Key(tenant, key), Some(ada), exceeded(Limit::Key));
        let mut events = refusals.rest();
        events.sort_by(|a, b| a.reason.cmp(&b.reason));
        assert_eq!(
            reasons(&events),
            [
                "Refused 1 request: limit of 600 a minute for one caller, over all their clients and keys.",
                "Refused 1 request: limit of 600 a minute for this API key."
            ]
        );
        let Subject::User(ada) = ada else { return };
        assert!(events.iter().all(|event| event.user_id == ada.to_string()));
        assert_eq!((events[0].api_key_id.as_str(), &events[1].api_key_id), ("", &key.to_string()));
        assert!(refusals.rest().is_empty());
    }

    #[test]
    fn a_workspace_with_many_callers_does_not_fill_the_log_at_once() {
        let (refusals, tenant) = (Refusals::default(), TenantId::new());
        for _ in 0..3 * EVENTS {
            let subject = Subject::User(UserId::new());
            refusals.count(0, Whom::Caller(tenant, subject), Some(subject), exceeded(Limit::Caller));
        }
        let told: Vec<usize> = (10..14).map(|second| refusals.due(second * SECOND).len()).collect();
        assert_eq!(told, [EVENTS, EVENTS, EVENTS, 0]);
    }
}
