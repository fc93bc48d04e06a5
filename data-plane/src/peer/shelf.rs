//! A bounded place for things that wait: each is somebody's, under a key that cannot be guessed, until its time is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use toolmesh_proto::ids::TenantId;

use super::{NoRoom, Owner};
use crate::config::Waiting;

pub(super) type Key = [u8; 16];

/// The shelf. Clones are the same.
pub(super) struct Shelf<T> {
    inner: Arc<Mutex<Inner<T>>>,
    room: Waiting,
    keeps: Duration,
}

struct Inner<T> {
    entries: HashMap<Key, Entry<T>>,
    by_owner: HashMap<Owner, usize>,
    by_tenant: HashMap<TenantId, usize>,
    closed: bool,
}

struct Entry<T> {
    owner: Owner,
    until: Instant,
    thing: T,
}

impl<T> std::fmt::Debug for Shelf<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shelf of {}", lock(&self.inner).entries.len())
    }
}

/// Takes its thing off the shelf when it is dropped, if it is still there.
pub(super) struct Held<T> {
    shelf: Arc<Mutex<Inner<T>>>,
    owner: Owner,
    key: Key,
}

impl<T> std::fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        let thing = lock(&self.shelf).take(self.owner, self.key);
        // After the lock, since dropping may wake others.
        drop(thing);
    }
}

impl<T> Shelf<T> {
    pub(super) fn new(room: Waiting, keeps: Duration) -> Self {
        let inner = Inner {
            entries: HashMap::new(),
            by_owner: HashMap::new(),
            by_tenant: HashMap::new(),
            closed: false,
        };
        Self { inner: Arc::new(Mutex::new(inner)), room, keeps }
    }

    /// Keeps something until it is taken or its time is over.
    pub(super) fn put(&self, owner: Owner, thing: T) -> Result<Key, NoRoom> {
        let mut key = Key::default();
        aws_lc_rs::rand::fill(&mut key).map_err(|_| NoRoom)?;
        let mut inner = lock(&self.inner);
        let own = inner.by_owner.get(&owner).copied().unwrap_or_default();
        let of_tenant = inner.by_tenant.get(&owner.tenant).copied().unwrap_or_default();
        let full =
            own >= self.room.caller || of_tenant >= self.room.tenant || inner.entries.len() >= self.room.node;
        if full || inner.closed {
            return Err(NoRoom);
        }
        inner.by_owner.insert(owner, own + 1);
        inner.by_tenant.insert(owner.tenant, of_tenant + 1);
        inner.entries.insert(key, Entry { owner, until: Instant::now() + self.keeps, thing });
        Ok(key)
    }

    /// The same, for as long as what is answered is held.
    pub(super) fn hold(&self, owner: Owner, thing: T) -> Result<(Key, Held<T>), NoRoom> {
        let key = self.put(owner, thing)?;
        Ok((key, Held { shelf: Arc::clone(&self.inner), owner, key }))
    }

    /// Takes what somebody left; what is another's is not there.
    pub(super) fn take(&self, owner: Owner, key: Key) -> Option<T> {
        lock(&self.inner)
            .take(owner, key)
            .filter(|entry| entry.until > Instant::now())
            .map(|entry| entry.thing)
    }

    /// Looks at what somebody left.
    pub(super) fn with<R>(&self, owner: Owner, key: Key, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut inner = lock(&self.inner);
        let entry = inner.entries.get_mut(&key)?;
        (entry.owner == owner && entry.until > Instant::now()).then(|| look(&mut entry.thing))
    }

    /// Throws away what is over, and what is not wanted any more.
    pub(super) fn sweep(&self, wanted: impl Fn(Owner, &T) -> bool) {
        let now = Instant::now();
        let mut inner = lock(&self.inner);
        let over: Vec<(Owner, Key)> = inner
            .entries
            .iter()
            .filter(|(_, entry)| entry.until <= now || !wanted(entry.owner, &entry.thing))
            .map(|(key, entry)| (entry.owner, *key))
            .collect();
        let thrown: Vec<_> = over.into_iter().filter_map(|(owner, key)| inner.take(owner, key)).collect();
        drop(inner);
        drop(thrown);
    }

    /// Throws everything away and takes nothing more.
    pub(super) fn close(&self) {
        lock(&self.inner).closed = true;
        self.sweep(|_, _| false);
    }
}

impl<T> Inner<T> {
    fn take(&mut self, owner: Owner, key: Key) -> Option<Entry<T>> {
        if self.entries.get(&key)?.owner != owner {
            return None;
        }
        let entry = self.entries.remove(&key)?;
        give_back(&mut self.by_owner, &owner);
        give_back(&mut self.by_tenant, &owner.tenant);
        Some(entry)
    }
}

fn give_back<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Everything is whole at every point where a panic could be.
fn lock<T>(inner: &Mutex<Inner<T>>) -> MutexGuard<'_, Inner<T>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use toolmesh_proto::claims::Subject;
    use toolmesh_proto::ids::UserId;

    use super::*;

    fn shelf(keeps: Duration) -> Shelf<u8> {
        Shelf::new(Waiting { caller: 1, tenant: 2, node: 3 }, keeps)
    }

    fn person(tenant: TenantId) -> Owner {
        Owner { tenant, subject: Subject::User(UserId::new()) }
    }

    #[test]
    fn nobody_takes_all_the_room_and_room_comes_back() {
        let (shelf, tenant) = (shelf(Duration::from_secs(60)), TenantId::new());
        let (ada, bob) = (person(tenant), person(tenant));
        let key = shelf.put(ada, 1).unwrap();
        assert_eq!(shelf.put(ada, 2), Err(NoRoom));
        let (_, held) = shelf.hold(bob, 3).unwrap();
        assert_eq!(shelf.put(person(tenant), 4), Err(NoRoom));
        shelf.put(person(TenantId::new()), 5).unwrap();
        assert_eq!(shelf.put(person(TenantId::new()), 6), Err(NoRoom));
        assert_eq!(shelf.take(bob, key), None, "what is another's is not there");
        assert_eq!(shelf.take(ada, key), Some(1));
        assert_eq!(shelf.take(ada, key), None, "it is taken once");
        drop(held);
        assert!(shelf.put(ada, 7).is_ok() && shelf.put(bob, 8).is_ok());
        shelf.close();
        assert!(shelf.put(ada, 9).is_err());
        assert!(lock(&shelf.inner).by_owner.is_empty(), "who has nothing waiting takes no memory");
    }

    #[test]
    fn what_is_over_is_gone_before_it_is_swept() {
        let (shelf, ada) = (shelf(Duration::ZERO), person(TenantId::new()));
        let key = shelf.put(ada, 1).unwrap();
        assert_eq!(shelf.with(ada, key, |thing| *thing), None);
        assert_eq!(shelf.take(ada, key), None);
        shelf.put(ada, 1).unwrap();
        shelf.sweep(|_, _| true);
        assert!(lock(&shelf.inner).entries.is_empty());
    }
}
