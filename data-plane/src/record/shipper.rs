//! Ships events to the control plane: in order, in bounded batches, again until they are stored.
//!
//! One task for this life's spool, which sends within moments of an append, and one for what earlier lives left, so that a
//! long backlog does not hold up what happens now.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::Code;
use toolmesh_proto::v1::{AuditBatch, AuditEvent};

use super::replay::{self, Earlier};
use super::spool::{Cursor, Spool, SpoolError};
use crate::sync::backoff::Backoff;
use crate::sync::channel::ControlPlane;

/// Most events of one batch.
const BATCH: usize = 500;
/// Longest wait for the control plane to store a batch.
const STORE_WITHIN: Duration = Duration::from_secs(10);
/// How long the end of the process may be held up by shipping.
const LAST_CALL: Duration = Duration::from_secs(3);

/// Ships what is spooled.
#[derive(Clone, Debug)]
pub struct Shipper {
    pub control: ControlPlane,
    pub node: String,
    pub spool: Arc<Spool>,
    /// Where the spools of all lives are.
    pub root: PathBuf,
}

impl Shipper {
    /// Ships this life's events until it is told to stop, and then for a few seconds what is left.
    pub async fn live(self, stop: CancellationToken) {
        let mut progress = Progress::default();
        while !stop.is_cancelled() {
            match self.ship_next(&mut progress, &stop).await {
                Ok(true) => {}
                Ok(false) => {
                    stop.run_until_cancelled(self.spool.appended()).await;
                }
                Err(error) => {
                    tracing::error!(%error, "audit spool cannot be read");
                    stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
                }
            }
        }
        // What is lost and was not told yet is told now, since nothing may come after it.
        self.blocking(Spool::report_losses).await;
        let never = CancellationToken::new();
        let rest = async { while matches!(self.ship_next(&mut progress, &never).await, Ok(true)) {} };
        if tokio::time::timeout(LAST_CALL, rest).await.is_err() {
            tracing::info!("audit events are left for the next start");
        }
        if self.spool.is_drained(progress.stored)
            && let Some(Err(error)) = self.blocking(Spool::remove).await
        {
            tracing::warn!(%error, "drained audit spool not removed");
        }
    }

    /// Ships one batch; false if there is nothing new.
    async fn ship_next(&self, progress: &mut Progress, stop: &CancellationToken) -> Result<bool, SpoolError> {
        let (spool, cursor) = (Arc::clone(&self.spool), progress.cursor);
        let read = tokio::task::spawn_blocking(move || spool.read(cursor, BATCH)).await;
        let (events, cursor) = read.map_err(std::io::Error::other)??;
        let Some(last) = events.last().map(|event| event.sequence) else {
            // Intents alone were read, or nothing.
            let moved = cursor != progress.cursor;
            progress.cursor = cursor;
            return Ok(moved);
        };
        if self.store(self.spool.boot_id(), events, stop).await {
            *progress = Progress { cursor, stored: last };
            self.blocking(move |spool| spool.stored_through(last)).await.transpose()?;
        }
        Ok(true)
    }

    /// Does something with the spool that may wait for the disk. `None` if it panicked.
    async fn blocking<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Spool) -> T + Send + 'static,
    ) -> Option<T> {
        let spool = Arc::clone(&self.spool);
        match tokio::task::spawn_blocking(move || task(&spool)).await {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::error!(%error, "work on the audit spool failed");
                None
            }
        }
    }

    /// Ships what earlier lives left, and removes it.
    pub async fn earlier(self, stop: CancellationToken) {
        let root = self.root.clone();
        let current = self.spool.boot_id().to_owned();
        let found = tokio::task::spawn_blocking(move || Earlier::all(&root)).await;
        let Ok(Ok(found)) = found else {
            tracing::error!("spools of earlier lives cannot be listed");
            return;
        };
        for earlier in found.into_iter().filter(|earlier| earlier.boot_id != current) {
            let boot_id = earlier.boot_id.clone();
            if let Err(error) = self.ship_earlier(earlier, &stop).await {
                tracing::error!(%error, boot_id, "spool of an earlier life cannot be shipped");
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    async fn ship_earlier(&self, mut earlier: Earlier, stop: &CancellationToken) -> std::io::Result<()> {
        let closed = on_disk(move || earlier.close_intents().map(|()| earlier));
        let earlier = closed.await?;
        for segment in earlier.segments().to_vec() {
            let events = on_disk(move || replay::events(&segment)).await?;
            for batch in events.chunks(BATCH) {
                if !self.store(&earlier.boot_id, batch.to_vec(), stop).await {
                    return Ok(());
                }
            }
        }
        let (boot_id, bytes) = (earlier.boot_id.clone(), earlier.bytes);
        on_disk(move || earlier.remove()).await?;
        self.blocking(move |spool| spool.freed(bytes)).await;
        tracing::info!(boot_id, "audit events of an earlier life shipped");
        Ok(())
    }

    /// Sends until everything is stored; false if it was told to stop before.
    async fn store(&self, boot_id: &str, mut events: Vec<AuditEvent>, stop: &CancellationToken) -> bool {
        let mut backoff = Backoff::default();
        let mut size = events.len();
        while !events.is_empty() {
            size = size.clamp(1, events.len());
            let batch = AuditBatch {
                node: self.node.clone(),
                boot_id: boot_id.to_owned(),
                events: events[..size].to_vec(),
            };
            let sent = tokio::time::timeout(STORE_WITHIN, self.control.record(batch));
            let Some(sent) = stop.run_until_cancelled(sent).await else { return false };
            match sent.unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("no answer"))) {
                Ok(through) => {
                    let before = events.len();
                    events.retain(|event| event.sequence > through);
                    if events.len() < before {
                        backoff = Backoff::default();
                        continue;
                    }
                    tracing::warn!(through, "control plane stored nothing of a batch");
                }
                // The control plane will never take it; find the event at fault and go on without it.
                Err(status) if status.code() == Code::InvalidArgument && size == 1 => {
                    let event = events.remove(0);
                    tracing::error!(sequence = event.sequence, "control plane refused an audit event");
                    continue;
                }
                Err(status) if status.code() == Code::InvalidArgument => {
                    size /= 2;
                    continue;
                }
                Err(status) => {
                    tracing::debug!(code = ?status.code(), "audit batch not stored, will try again")
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(backoff.wait())).await.is_none() {
                return false;
            }
        }
        true
    }
}

/// Work that waits for the disk, off the threads that serve.
async fn on_disk<T: Send + 'static>(
    task: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(task).await.map_err(std::io::Error::other)?
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    cursor: Cursor,
    stored: u64,
}
