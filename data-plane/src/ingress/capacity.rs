//! How much a node does at a time: calls on their way, per tenant and in all, and bytes of requests' bodies.
//!
//! Nothing waits here. What has no room is refused, and the caller is told to come back; a queue would only hide the load.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toolmesh_proto::ids::TenantId;

use crate::config::Limits;

/// The room of one node.
#[derive(Debug)]
pub struct Capacity {
    calls: Arc<Mutex<InFlight>>,
    bodies: Arc<Semaphore>,
    tenant_calls: usize,
    node_calls: usize,
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
            bodies: Arc::new(Semaphore::new(limits.bodies_bytes.min(Semaphore::MAX_PERMITS))),
            tenant_calls: limits.tenant_calls,
            node_calls: limits.node_calls,
        }
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
        if let Some(own) = calls.by_tenant.get_mut(&self.tenant) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                calls.by_tenant.remove(&self.tenant);
            }
        }
    }
}

/// The counts are whole at every point where a panic could be.
fn lock(calls: &Mutex<InFlight>) -> MutexGuard<'_, InFlight> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn bytes_of_bodies_are_counted_until_they_are_given_back() {
        let capacity = capacity();
        let held = capacity.bytes(8);
        assert!(held.is_some() && capacity.bytes(3).is_none());
        drop(held);
        assert!(capacity.bytes(10).is_some());
    }
}
