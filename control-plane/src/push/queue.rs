//! Which tenant is compiled next: changes before what is only missing since this process started, both before what failed.
//!
//! Holds no bundle and does no work; the relay asks it, and tells it how things went.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use toolmesh_proto::ids::TenantId;

/// Tenants that are compiled at a time.
const RUNNING: usize = 4;

/// Of these, such that failed before: one that hangs takes no place from those that are well.
const RETRYING: usize = 1;

/// A tenant that failed waits this long, then twice as long, and so on up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a tenant is to be compiled; also the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// It changed, and somebody waits to see it.
    Changed,
    /// It is on the list of all, and its bundle is missing.
    Listed,
    /// It failed.
    Retry,
}

/// A tenant to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub tenant: TenantId,
    /// The revision must come to lie above this one first; 0 for any.
    pub above: u64,
}

#[derive(Default)]
pub(super) struct Queue {
    items: HashMap<TenantId, Item>,
    /// The waiting ones, in their order; the time is when each is due.
    waiting: BTreeSet<(Why, Instant, TenantId)>,
    running: usize,
    retrying: usize,
    /// Tenants from a list that have not been tried.
    untried: usize,
}

struct Item {
    place: Place,
    /// The newest revision that is known of.
    revision: u64,
    above: u64,
    failures: u32,
    untried: bool,
}

#[derive(Clone, Copy)]
enum Place {
    Waiting(Why, Instant),
    /// With the revision and the bound that were known when it began.
    Running(Why, u64, u64),
}

impl Queue {
    /// Takes a tenant in, unless this revision is known. A new revision of one that failed may have mended it, so that is
    /// tried at once.
    pub fn add(&mut self, tenant: TenantId, revision: u64, why: Why, now: Instant) {
        let known = self.items.get(&tenant).is_some_and(|item| item.revision >= revision);
        if !known {
            self.put(tenant, revision, 0, why, now);
        }
        if why == Why::Listed
            && let Some(item) = self.items.get_mut(&tenant)
            && item.failures == 0
            && !item.untried
        {
            item.untried = true;
            self.untried += 1;
        }
    }

    /// Has a tenant lifted above a revision, and compiled.
    pub fn lift(&mut self, tenant: TenantId, above: u64, now: Instant) {
        let known = self.items.get(&tenant).is_some_and(|item| item.above >= above);
        if !known {
            self.put(tenant, 0, above, Why::Changed, now);
        }
    }

    fn put(&mut self, tenant: TenantId, revision: u64, above: u64, why: Why, now: Instant) {
        let fresh = Item { place: Place::Waiting(why, now), revision, above, failures: 0, untried: false };
        let Some(item) = self.items.get_mut(&tenant) else {
            self.waiting.insert((why, now, tenant));
            self.items.insert(tenant, fresh);
            return;
        };
        item.revision = item.revision.max(revision);
        item.above = item.above.max(above);
        // One that runs is looked at again when it is done.
        if let Place::Waiting(before, since) = item.place {
            let (why, due) = if before == Why::Retry { (why, now) } else { (why.min(before), since) };
            self.waiting.remove(&(before, since, tenant));
            self.waiting.insert((why, due, tenant));
            item.place = Place::Waiting(why, due);
        }
    }

    /// What to start now, if anything. `done`, `failed` or `forget` must follow.
    pub fn next(&mut self, now: Instant) -> Option<Job> {
        if self.running >= RUNNING {
            return None;
        }
        let &(why, due, tenant) = self.waiting.first()?;
        if due > now || (why == Why::Retry && self.retrying >= RETRYING) {
            return None;
        }
        self.waiting.pop_first();
        let item = self.items.get_mut(&tenant)?;
        item.place = Place::Running(why, item.revision, item.above);
        self.running += 1;
        self.retrying += usize::from(why == Why::Retry);
        Some(Job { tenant, above: item.above })
    }

    /// A tenant has been compiled with this revision.
    pub fn done(&mut self, tenant: TenantId, revision: u64, now: Instant) {
        let Some(mut item) = self.end(tenant) else { return };
        let Place::Running(_, known, above) = item.place else { return };
        // Only what came to be known meanwhile is a reason to look again; what was known before is in.
        let newer = item.revision > known && item.revision > revision;
        if newer || (item.above > above && item.above >= revision) {
            item.failures = 0;
            self.wait(tenant, item, Why::Changed, now);
        }
    }

    /// A tenant could not be compiled. Answers after how long it will be tried again.
    pub fn failed(&mut self, tenant: TenantId, now: Instant) -> Duration {
        let Some(mut item) = self.end(tenant) else { return FIRST_WAIT };
        let wait = FIRST_WAIT.saturating_mul(1 << item.failures.min(6)).min(LONGEST_WAIT);
        item.failures = item.failures.saturating_add(1);
        self.wait(tenant, item, Why::Retry, now + wait);
        wait
    }

    /// A tenant is gone.
    pub fn forget(&mut self, tenant: TenantId) {
        let _ = self.end(tenant);
    }

    fn end(&mut self, tenant: TenantId) -> Option<Item> {
        let mut item = self.items.remove(&tenant)?;
        match item.place {
            Place::Waiting(why, due) => {
                self.waiting.remove(&(why, due, tenant));
            }
            Place::Running(why, ..) => {
                self.running -= 1;
                self.retrying -= usize::from(why == Why::Retry);
            }
        }
        self.untried -= usize::from(std::mem::take(&mut item.untried));
        Some(item)
    }

    fn wait(&mut self, tenant: TenantId, item: Item, why: Why, due: Instant) {
        self.waiting.insert((why, due, tenant));
        self.items.insert(tenant, Item { place: Place::Waiting(why, due), ..item });
    }

    /// Whether every tenant of the lists has been tried.
    pub fn all_tried(&self) -> bool {
        self.untried == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(queue: &mut Queue, now: Instant) -> Vec<TenantId> {
        std::iter::from_fn(|| queue.next(now)).map(|job| job.tenant).collect()
    }

    #[test]
    fn a_change_goes_before_what_was_only_listed() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let [a, b, c] = [TenantId::new(), TenantId::new(), TenantId::new()];
        queue.add(a, 1, Why::Listed, now);
        queue.add(b, 1, Why::Listed, now);
        queue.add(c, 1, Why::Changed, now + Duration::from_millis(1));
        queue.add(b, 2, Why::Changed, now + Duration::from_millis(2));
        assert_eq!(take(&mut queue, now + Duration::from_secs(1)), [b, c, a]);
    }

    #[test]
    fn no_more_than_the_bound_run_at_a_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for _ in 0..2 * RUNNING {
            queue.add(TenantId::new(), 1, Why::Listed, now);
        }
        let first = take(&mut queue, now);
        assert_eq!(first.len(), RUNNING);
        queue.done(first[0], 1, now);
        assert_eq!(take(&mut queue, now).len(), 1);
    }

    #[test]
    fn tenants_that_fail_wait_longer_each_time_and_leave_room_for_the_others() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let sick: Vec<TenantId> = (0..3).map(|_| TenantId::new()).collect();
        for tenant in &sick {
            queue.add(*tenant, 1, Why::Listed, now);
        }
        assert_eq!(take(&mut queue, now).len(), 3);
        assert!(!queue.all_tried());
        for tenant in &sick {
            assert_eq!(queue.failed(*tenant, now), FIRST_WAIT);
        }
        assert!(queue.all_tried());
        assert!(take(&mut queue, now).is_empty());
        // The same revision, heard of again, is no reason to try earlier.
        queue.add(sick[0], 1, Why::Changed, now);
        assert!(take(&mut queue, now).is_empty());

        let later = now + FIRST_WAIT;
        let tried = take(&mut queue, later);
        assert_eq!(tried.len(), RETRYING);
        let well = TenantId::new();
        queue.add(well, 1, Why::Changed, later);
        assert_eq!(take(&mut queue, later), [well]);
        assert_eq!(queue.failed(tried[0], later), 2 * FIRST_WAIT);
        for _ in 0..80 {
            let far = later + Duration::from_secs(3600);
            let tenant = queue.next(far).unwrap().tenant;
            assert!(queue.failed(tenant, later) <= LONGEST_WAIT);
        }
    }

    #[test]
    fn a_new_revision_of_a_tenant_that_failed_is_tried_at_once() {
        let (mut queue, now, tenant) = (Queue::default(), Instant::now(), TenantId::new());
        queue.add(tenant, 1, Why::Changed, now);
        take(&mut queue, now);
        queue.failed(tenant, now);
        queue.add(tenant, 2, Why::Changed, now);
        assert_eq!(take(&mut queue, now), [tenant]);
        queue.done(tenant, 2, now);
        assert!(queue.items.is_empty() && queue.waiting.is_empty());
    }

    #[test]
    fn a_change_during_compilation_is_compiled_after_it_unless_it_is_in() {
        let (mut queue, now, tenant) = (Queue::default(), Instant::now(), TenantId::new());
        for (compiled, again) in [(1, vec![tenant]), (2, vec![])] {
            queue.add(tenant, 1, Why::Changed, now);
            assert_eq!(take(&mut queue, now), [tenant]);
            queue.add(tenant, 2, Why::Changed, now);
            assert!(take(&mut queue, now).is_empty());
            queue.done(tenant, compiled, now);
            assert_eq!(take(&mut queue, now), again);
            queue.done(tenant, 2, now);
        }
    }

    #[test]
    fn a_tenant_that_must_be_lifted_stays_until_its_revision_lies_above() {
        let (mut queue, now, tenant) = (Queue::default(), Instant::now(), TenantId::new());
        queue.lift(tenant, 60, now);
        assert_eq!(queue.next(now), Some(Job { tenant, above: 60 }));
        queue.failed(tenant, now);
        assert_eq!(queue.next(now + FIRST_WAIT), Some(Job { tenant, above: 60 }));
        queue.done(tenant, 61, now);
        assert_eq!(queue.next(now + FIRST_WAIT), None);
        assert!(queue.items.is_empty());
    }

    #[test]
    fn a_listed_tenant_counts_as_untried_though_it_is_known_to_have_changed() {
        let (mut queue, now, tenant) = (Queue::default(), Instant::now(), TenantId::new());
        queue.add(tenant, 2, Why::Changed, now);
        assert!(queue.all_tried());
        queue.add(tenant, 2, Why::Listed, now);
        queue.add(tenant, 2, Why::Listed, now);
        assert!(!queue.all_tried());
        assert_eq!(take(&mut queue, now), [tenant]);
        assert!(!queue.all_tried());
        queue.failed(tenant, now);
        assert!(queue.all_tried());
        queue.add(tenant, 2, Why::Listed, now);
        assert!(queue.all_tried());
    }

    #[test]
    fn a_tenant_that_is_gone_leaves_nothing() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (runs, waits) = (TenantId::new(), TenantId::new());
        queue.add(runs, 1, Why::Listed, now);
        take(&mut queue, now);
        queue.add(waits, 1, Why::Listed, now);
        queue.forget(runs);
        queue.forget(waits);
        assert!(queue.items.is_empty() && queue.waiting.is_empty() && queue.all_tried());
        assert_eq!(queue.running, 0);
    }
}
