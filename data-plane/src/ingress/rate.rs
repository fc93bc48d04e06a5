//! How often callers may ask: each API key, each caller over all their clients and keys, and each tenant, per minute.
//!
//! A limit is a leaky bucket that holds one minute's worth (GCRA): a burst may take all of it at once, and it fills again
//! evenly. What a caller's own limit refuses costs the tenant's nothing, and a tenant's costs no other tenant. Counted are
//! requests of whoever is known, each on this node alone; so nobody can use up what is another's without their token.
//!
//! Written here and not taken from a library: a limit changes with the tenant's settings from one request to the next, and
//! the three are taken together or not at all.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::{ApiKeyId, TenantId};
use toolmesh_proto::v1::AuditEvent;

use super::refusals::Refusals;
use crate::catalog::Tenant;
use crate::config::RateLimits;
use crate::identity::{Method, Principal};

const MINUTE: u64 = 60_000_000_000;
/// Most buckets that are not full at a time; only known callers have one.
const BUCKETS: usize = 500_000;
/// The table is tidied when it has grown by so much.
const TIDY: usize = 1024;

/// The buckets of one node.
#[derive(Debug)]
pub struct Rates {
    began: Instant,
    own: RateLimits,
    buckets: Mutex<Buckets>,
    refusals: Refusals,
}

#[derive(Debug, Default)]
struct Buckets {
    by_whom: HashMap<Whom, Bucket>,
    tidy_at: usize,
}

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whom {
    Tenant(TenantId),
    Caller(TenantId, Subject),
    Key(TenantId, ApiKeyId),
}

impl Whom {
    pub(super) const fn tenant(&self) -> TenantId {
        match self {
            Self::Tenant(tenant) | Self::Caller(tenant, _) | Self::Key(tenant, _) => *tenant,
        }
    }

    pub(super) const fn key(&self) -> Option<ApiKeyId> {
        match self {
            Self::Key(_, key) => Some(*key),
            Self::Tenant(_) | Self::Caller(..) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// When it would be full again, in nanoseconds since the node began.
    full_at: u64,
}

/// Which limit is reached, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    pub limit: Limit,
    pub per_minute: u32,
    pub wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Tenant,
    Caller,
    Key,
}

impl Limit {
    /// For programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Caller => "caller",
            Self::Key => "api_key",
        }
    }
}

impl Exceeded {
    /// Whole seconds to wait, at least one.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0).max(u64::from(self.wait.is_zero()))
    }
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whose = match self.limit {
            Limit::Tenant => "This workspace",
            Limit::Caller => "You, over all your clients and keys,",
            Limit::Key => "This API key",
        };
        let (count, seconds) = (self.per_minute, self.seconds());
        let unit = if seconds == 1 { "second" } else { "seconds" };
        write!(f, "{whose} may send {count} requests a minute. Try again in {seconds} {unit}.")
    }
}

impl Rates {
    #[must_use]
    pub fn new(own: RateLimits) -> Self {
        Self { began: Instant::now(), own, buckets: Mutex::default(), refusals: Refusals::default() }
    }

    /// Counts one request of a caller.
    ///
    /// # Errors
    /// When one of the limits is reached; then none of them counts it.
    pub fn take(&self, tenant: &Tenant, principal: &Principal) -> Result<(), Exceeded> {
        self.take_at(self.now(), tenant, principal)
    }

    fn take_at(&self, now: u64, tenant: &Tenant, principal: &Principal) -> Result<(), Exceeded> {
        let caller = Whom::Caller(tenant.id, principal.subject);
        let key = match &principal.method {
            Method::ApiKey { id } => Some((Limit::Key, Whom::Key(tenant.id, *id))),
            Method::OAuth { .. } => None,
        };
        let all = [key, Some((Limit::Caller, caller)), Some((Limit::Tenant, Whom::Tenant(tenant.id)))];
        let mut buckets = self.buckets();
        buckets.tidy(now);
        let mut taken = Vec::with_capacity(all.len());
        for (limit, whom) in all.into_iter().flatten() {
            let per_minute = self.per_minute(tenant, limit);
            let full_at = buckets.by_whom.get(&whom).map_or(0, |bucket| bucket.full_at);
            match drawn(full_at, per_minute, now) {
                Ok(full_at) => taken.push((whom, full_at)),
                Err(wait) => {
                    drop(buckets);
                    let exceeded = Exceeded { limit, per_minute, wait };
                    let subject = (limit != Limit::Tenant).then_some(principal.subject);
                    self.refusals.count(now, whom, subject, exceeded);
                    return Err(exceeded);
                }
            }
        }
        for (whom, full_at) in taken {
            buckets.put(whom, full_at);
        }
        Ok(())
    }

    /// Whether a tenant has used up its limit, so that a request need not be looked at.
    ///
    /// # Errors
    /// When it has.
    pub fn look(&self, tenant: &Tenant) -> Result<(), Exceeded> {
        let (now, per_minute) = (self.now(), self.per_minute(tenant, Limit::Tenant));
        let whom = Whom::Tenant(tenant.id);
        let full_at = self.buckets().by_whom.get(&whom).map_or(0, |bucket| bucket.full_at);
        drawn(full_at, per_minute, now).map(drop).map_err(|wait| {
            let exceeded = Exceeded { limit: Limit::Tenant, per_minute, wait };
            self.refusals.count(now, whom, None, exceeded);
            exceeded
        })
    }

    /// Takes what the audit log is to be told of refusals by now.
    pub(super) fn due(&self) -> Vec<AuditEvent> {
        self.refusals.due(self.now())
    }

    /// Takes all that it was not told yet.
    pub(super) fn rest(&self) -> Vec<AuditEvent> {
        self.refusals.rest()
    }

    /// The lower of the operator's limit and the tenant's; 0 for none.
    fn per_minute(&self, tenant: &Tenant, limit: Limit) -> u32 {
        let chosen = &tenant.rate_limits;
        let (own, chosen) = match limit {
            Limit::Tenant => (self.own.tenant, chosen.tenant_per_minute),
            Limit::Caller => (self.own.caller, chosen.caller_per_minute),
            Limit::Key => (self.own.api_key, chosen.api_key_per_minute),
        };
        match (own, chosen) {
            (0, only) | (only, 0) => only,
            (own, chosen) => own.min(chosen),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The table is whole at every point where a panic could be.
    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a bucket is full again after one more request; if it is empty, how long to wait.
fn drawn(full_at: u64, per_minute: u32, now: u64) -> Result<u64, Duration> {
    if per_minute == 0 {
        return Ok(full_at);
    }
    let drawn = full_at.max(now).saturating_add(MINUTE / u64::from(per_minute));
    match drawn.saturating_sub(now).checked_sub(MINUTE) {
        None | Some(0) => Ok(drawn),
        Some(over) => Err(Duration::from_nanos(over)),
    }
}

impl Buckets {
    fn put(&mut self, whom: Whom, full_at: u64) {
        // What has no limit is counted nowhere.
        if full_at == 0 {
            return;
        }
        if self.by_whom.len() < BUCKETS || self.by_whom.contains_key(&whom) {
            self.by_whom.entry(whom).or_default().full_at = full_at;
        }
    }

    /// A full bucket is as good as none.
    fn tidy(&mut self, now: u64) {
        if self.by_whom.len() >= self.tidy_at.max(TIDY) {
            self.by_whom.retain(|_, bucket| bucket.full_at > now);
            self.tidy_at = (self.by_whom.len() + TIDY).min(BUCKETS);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use toolmesh_proto::ids::UserId;

    use super::*;
    use crate::catalog::samples;
    use crate::identity::Reach;

    fn rates(tenant: u32, caller: u32, api_key: u32) -> Rates {
        Rates::new(RateLimits { tenant, caller, api_key })
    }

    fn person(method: Method) -> Principal {
        Principal {
            tenant: samples::TENANT.parse().unwrap(),
            subject: Subject::User(UserId::new()),
            groups: Arc::from([]),
            method,
            reach: Reach::Everything,
        }
    }

    fn oauth() -> Method {
        Method::OAuth { client: "c".into() }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_evenly() {
        let (rates, tenant, ada) = (rates(0, 60, 0), samples::tenant(), person(oauth()));
        for _ in 0..60 {
            rates.take_at(0, &tenant, &ada).unwrap();
        }
        let exceeded = rates.take_at(0, &tenant, &ada).unwrap_err();
        assert_eq!((exceeded.limit, exceeded.per_minute, exceeded.seconds()), (Limit::Caller, 60, 1));
        assert!(exceeded.to_string().ends_with("may send 60 requests a minute. Try again in 1 second."));
        assert!(rates.take_at(SECOND, &tenant, &ada).is_ok());
        assert!(rates.take_at(SECOND, &tenant, &ada).is_err());
        assert!(
            rates.take_at(0, &tenant, &person(oauth())).is_ok(),
            "another caller has a bucket of their own"
        );
    }

    #[test]
    fn what_one_caller_may_not_send_is_not_taken_from_the_workspace() {
        let (rates, tenant) = (rates(4, 2, 0), samples::tenant());
        let (ada, bob) = (person(oauth()), person(oauth()));
        let sent = (0..50).filter(|_| rates.take_at(0, &tenant, &ada).is_ok()).count();
        assert_eq!(sent, 2);
        let sent = (0..50).filter(|_| rates.take_at(0, &tenant, &bob).is_ok()).count();
        assert_eq!(sent, 2);
        assert!(rates.look(&tenant).is_err());
        let third = rates.take_at(0, &tenant, &person(oauth())).unwrap_err();
        assert_eq!(third.limit, Limit::Tenant);
        let mut bundle = samples::bundle();
        bundle.tenant_id = TenantId::new().to_string();
        assert!(rates.look(&samples::compile(&bundle)).is_ok(), "another workspace is not touched");
    }

    #[test]
    fn keys_of_one_caller_count_each_and_together() {
        let (rates, tenant) = (rates(0, 3, 2), samples::tenant());
        let with = |key| Principal { method: Method::ApiKey { id: key }, ..person(oauth()) };
        let first = with(ApiKeyId::new());
        let second = Principal { subject: first.subject, ..with(ApiKeyId::new()) };
        assert!(rates.take_at(0, &tenant, &first).is_ok() && rates.take_at(0, &tenant, &first).is_ok());
        assert_eq!(rates.take_at(0, &tenant, &first).unwrap_err().limit, Limit::Key);
        assert!(rates.take_at(0, &tenant, &second).is_ok());
        assert_eq!(rates.take_at(0, &tenant, &second).unwrap_err().limit, Limit::Caller);
    }

    #[test]
    fn a_workspace_lowers_a_limit_and_cannot_raise_it() {
        let mut bundle = samples::bundle();
        let ada = person(oauth());
        for (chosen, sent) in [(1, 1), (0, 3), (50, 3)] {
            let limits = toolmesh_proto::v1::RateLimits { caller_per_minute: chosen, ..Default::default() };
            bundle.rate_limits = Some(limits);
            let (rates, tenant) = (rates(0, 3, 0), samples::compile(&bundle));
            assert_eq!((0..9).filter(|_| rates.take_at(0, &tenant, &ada).is_ok()).count(), sent, "{chosen}");
        }
    }

    #[test]
    fn whoever_has_asked_long_ago_takes_no_memory() {
        let (rates, tenant) = (rates(0, 60, 0), samples::tenant());
        for _ in 0..=2 * TIDY {
            rates.take_at(0, &tenant, &person(oauth())).unwrap();
        }
        assert!(rates.buckets().by_whom.len() > 2 * TIDY);
        let late = 2 * SECOND;
        for _ in 0..=TIDY {
            rates.take_at(late, &tenant, &person(oauth())).unwrap();
        }
        assert!(rates.buckets().by_whom.len() <= TIDY + 1, "{}", rates.buckets().by_whom.len());
    }
}
