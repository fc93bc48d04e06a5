//! How much code runs at a time: runs and threads, per tenant and in all. What has no room is refused, as calls are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toolmesh_proto::ids::TenantId;

/// Most runs at a time, over all tenants and of one. Each may take [`super::engine::MEMORY_BYTES`].
const RUNS: usize = 32;
const TENANT_RUNS: usize = 8;

/// Where code runs; one per node.
#[derive(Clone, Debug)]
pub struct Sandbox {
    tenants: Arc<Mutex<Tenants>>,
    threads: Arc<Semaphore>,
    tenant_threads: usize,
}

/// Tenants without a run have no entry.
#[derive(Debug, Default)]
struct Tenants {
    all: usize,
    by_id: HashMap<TenantId, Own>,
}

#[derive(Debug)]
struct Own {
    runs: usize,
    threads: Arc<Semaphore>,
}

/// Why a run has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Too much code is running. Try again in a moment.")]
pub struct NoRoom;

/// The room of a run and of what it leads to; given back when the last of it is dropped.
#[derive(Clone, Debug)]
pub struct Room(Arc<Held>);

#[derive(Debug)]
struct Held {
    tenants: Arc<Mutex<Tenants>>,
    tenant: TenantId,
    threads: Arc<Semaphore>,
    own_threads: Arc<Semaphore>,
}

/// A turn on a thread.
#[derive(Debug)]
pub(super) struct Turn {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Default for Sandbox {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let threads = cores.max(2);
        Self {
            tenants: Arc::default(),
            threads: Arc::new(Semaphore::new(threads)),
            // So that one tenant's code cannot keep all others' waiting.
            tenant_threads: threads.div_ceil(2),
        }
    }
}

impl Sandbox {
    /// Room for a run of a tenant.
    ///
    /// # Errors
    /// When the tenant or the node has as many as it may.
    pub fn room(&self, tenant: TenantId) -> Result<Room, NoRoom> {
        let mut tenants = lock(&self.tenants);
        if tenants.all >= RUNS {
            return Err(NoRoom);
        }
        let fresh = || Own { runs: 0, threads: Arc::new(Semaphore::new(self.tenant_threads)) };
        let own = tenants.by_id.entry(tenant).or_insert_with(fresh);
        if own.runs >= TENANT_RUNS {
            return Err(NoRoom);
        }
        own.runs += 1;
        let own_threads = Arc::clone(&own.threads);
        tenants.all += 1;
        let held = Held {
            tenants: Arc::clone(&self.tenants),
            tenant,
            threads: Arc::clone(&self.threads),
            own_threads,
        };
        Ok(Room(Arc::new(held)))
    }
}

impl Room {
    /// Waits for a turn on a thread; `None` if there will be none, which does not happen.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let own = Arc::clone(&self.0.own_threads).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.0.threads).acquire_owned().await.ok()?;
        Some(Turn { _all: all, _own: own })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut tenants = lock(&self.tenants);
        tenants.all = tenants.all.saturating_sub(1);
        if let Some(own) = tenants.by_id.get_mut(&self.tenant) {
            own.runs = own.runs.saturating_sub(1);
            if own.runs == 0 {
                tenants.by_id.remove(&self.tenant);
            }
        }
    }
}

/// The counts are whole at every point where a panic could be.
fn lock(tenants: &Mutex<Tenants>) -> MutexGuard<'_, Tenants> {
    tenants.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_cannot_take_the_room_of_the_others_and_room_comes_back() {
        let (sandbox, busy) = (Sandbox::default(), TenantId::new());
        let held: Vec<Room> = (0..TENANT_RUNS).map(|_| sandbox.room(busy).unwrap()).collect();
        assert_eq!(sandbox.room(busy).err(), Some(NoRoom));
        let other = sandbox.room(TenantId::new());
        assert!(other.is_ok());
        drop((held, other));
        assert!(sandbox.room(busy).is_ok());
        assert!(lock(&sandbox.tenants).by_id.is_empty(), "an idle tenant takes no memory");
    }

    #[tokio::test]
    async fn one_tenant_cannot_take_all_threads() {
        let (sandbox, busy) = (Sandbox::default(), TenantId::new());
        let mut held = Vec::new();
        for _ in 0..sandbox.tenant_threads {
            held.push(sandbox.room(busy).unwrap().turn().await.unwrap());
        }
        let other = sandbox.room(TenantId::new()).unwrap();
        assert!(other.turn().await.is_some());
    }
}
