//! How much a node does at a time: calls on their way, per tenant and in all; streams that listen, per caller, tenant and in
//! all; and bytes of requests' bodies.
//!
//! Nothing waits here. What has no room is refused, and the caller is told to come back; a queue would only hide the load.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::TenantId;

use crate::config::Limits;

/// The room of one node.
#[derive(Debug)]
pub struct Capacity {
    calls: Arc<Mutex<InFlight>>,
    listening: Arc<Mutex<Listening>>,
    bodies: Arc<Semaphore>,
    tenant_calls: usize,
    node_calls: usize,
    caller_streams: usize,
    tenant_streams: usize,
    node_streams: usize,
}

/// Streams that listen; who has none has no entry.
#[derive(Debug, Default)]
struct Listening {
    all: usize,
    by_tenant: HashMap<TenantId, usize>,
    by_caller: HashMap<(TenantId, Subject), usize>,
}

/// Tenants without a call have no entry.
#[derive(Debug, Default)]
struct InFlight {
    all: usize,
    by_tenant: HashMap<TenantId, usize>,
}

/// Why a call has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("This workspace has too many calls under way. Try again in a second.")]
    Tenant,
    #[error("The gateway has too many calls under way. Try again in a second.")]
    Node,
}

/// Why a stream has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Too many streams are open already. Close one, or ask for the list when it is needed.")]
pub struct TooManyStreams;

/// The room of one stream that listens; given back when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct ListenPermit {
    listening: Arc<Mutex<Listening>>,
    tenant: TenantId,
    caller: Subject,
}

/// The room of one call; given back when it is dropped, so whoever carries out the call must own it.
#[derive(Debug)]
#[must_use]
pub struct CallPermit {
    calls: Arc<Mutex<InFlight>>,
    tenant: TenantId,
}

impl Capacity {
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            calls: Arc::default(),
            listening: Arc::default(),
            bodies: Arc::new(Semaphore::new(limits.bodies_bytes.min(Semaphore::MAX_PERMITS))),
            tenant_calls: limits.tenant_calls,
            node_calls: limits.node_calls,
            caller_streams: limits.caller_streams,
            tenant_streams: limits.tenant_streams,
            node_streams: limits.node_streams,
        }
    }

    /// Room for a stream that tells a caller of changes.
    ///
    /// # Errors
    /// When the caller, the tenant or the node has as many open as it may.
    pub fn listen(&self, tenant: TenantId, caller: Subject) -> Result<ListenPermit, TooManyStreams> {
        let mut open = lock(&self.listening);
        let own = open.by_caller.get(&(tenant, caller)).copied().unwrap_or_default();
        let of_tenant = open.by_tenant.get(&tenant).copied().unwrap_or_default();
        let full =
            own >= self.caller_streams || of_tenant >= self.tenant_streams || open.all >= self.node_streams;
        if full {
            return Err(TooManyStreams);
        }
        open.all += 1;
        open.by_tenant.insert(tenant, of_tenant + 1);
        open.by_caller.insert((tenant, caller), own + 1);
        Ok(ListenPermit { listening: Arc::clone(&self.listening), tenant, caller })
    }

    /// Room for a call of a tenant's tool.
    ///
    /// # Errors
    /// When the tenant or the node has as many on their way as it may.
    pub fn call(&self, tenant: TenantId) -> Result<CallPermit, Full> {
        let mut calls = lock(&self.calls);
        if calls.all >= self.node_calls {
            return Err(Full::Node);
        }
        let own = calls.by_tenant.get(&tenant).copied().unwrap_or_default();
        if own >= self.tenant_calls {
            return Err(Full::Tenant);
        }
        calls.all += 1;
        calls.by_tenant.insert(tenant, own + 1);
        Ok(CallPermit { calls: Arc::clone(&self.calls), tenant })
    }

    /// Room for that many more bytes of a body; `None` if there is not that much.
    pub(super) fn bytes(&self, count: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.bodies).try_acquire_many_owned(u32::try_from(count).ok()?).ok()
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let mut calls = lock(&self.calls);
        calls.all = calls.all.saturating_sub(1);
        give_back(&mut calls.by_tenant, &self.tenant);
    }
}

impl Drop for ListenPermit {
    fn drop(&mut self) {
        let mut open = lock(&self.listening);
        open.all = open.all.saturating_sub(1);
        give_back(&mut open.by_tenant, &self.tenant);
        give_back(&mut open.by_caller, &(self.tenant, self.caller));
    }
}

fn give_back<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(own) = counts.get_mut(key) {
        *own = own.saturating_sub(1);
        if *own == 0 {
            counts.remove(key);
        }
    }
}

/// The counts are whole at every point where a panic could be.
fn lock<T>(counts: &Mutex<T>) -> MutexGuard<'_, T> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity() -> Capacity {
        Capacity::new(&Limits { tenant_calls: 2, node_calls: 3, bodies_bytes: 10, ..Limits::default() })
    }

    #[test]
    fn one_tenant_cannot_take_the_room_of_the_others_and_room_comes_back() {
        let (capacity, busy, other) = (capacity(), TenantId::new(), TenantId::new());
        let held = [capacity.call(busy).unwrap(), capacity.call(busy).unwrap()];
        assert_eq!(capacity.call(busy).err(), Some(Full::Tenant));
        let third = capacity.call(other).unwrap();
        assert_eq!(capacity.call(TenantId::new()).err(), Some(Full::Node));
        drop((held, third));
        assert!(capacity.call(busy).is_ok());
        assert!(lock(&capacity.calls).by_tenant.is_empty(), "an idle tenant takes no memory");
    }

    #[test]
    fn one_caller_cannot_open_all_streams_of_a_workspace_nor_one_workspace_all_of_the_node() {
        let limits = Limits { caller_streams: 1, tenant_streams: 2, node_streams: 3, ..Limits::default() };
        let (capacity, tenant) = (Capacity::new(&limits), TenantId::new());
        let person = || Subject::User(toolmesh_proto::ids::UserId::new());
        let (one, two) = (person(), person());
        let held = [capacity.listen(tenant, one).unwrap(), capacity.listen(tenant, two).unwrap()];
        assert!(capacity.listen(tenant, one).is_err() && capacity.listen(tenant, person()).is_err());
        let third = capacity.listen(TenantId::new(), one).unwrap();
        assert!(capacity.listen(TenantId::new(), two).is_err());
        drop((held, third));
        assert!(capacity.listen(tenant, one).is_ok());
        assert!(lock(&capacity.listening).by_caller.is_empty(), "who has none takes no memory");
    }

    #[test]
    fn bytes_of_bodies_are_counted_until_they_are_given_back() {
        let capacity = capacity();
        let held = capacity.bytes(8);
        assert!(held.is_some() && capacity.bytes(3).is_none());
        drop(held);
        assert!(capacity.bytes(10).is_some());
    }
}
