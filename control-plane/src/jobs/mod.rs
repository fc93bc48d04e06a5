//! Background work: each task is named, registered here, and stopped with the plane.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::sessions;
use crate::db::Db;

/// The tasks of one control plane.
#[derive(Clone, Default)]
pub struct Jobs {
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
}

impl Jobs {
    /// Starts a task that ends by itself soon after `stop`.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            task.await;
            if !stop.is_cancelled() {
                tracing::error!(task = name, "background task ended before it was told to");
            }
        });
    }

    /// Tells all tasks to stop and waits for them, ten seconds at most.
    pub async fn shut_down(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(10), self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "tasks did not stop in time");
        }
    }
}

/// Deletes sessions that have ended, every ten minutes.
pub async fn prune_sessions(db: Db, stop: CancellationToken) {
    loop {
        if let Err(error) = prune_once(&db).await {
            tracing::warn!(%error, "ended sessions could not be deleted");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(600)) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn prune_once(db: &Db) -> crate::error::Result<()> {
    let mut tx = db.global().await?;
    let count = sessions::store::prune(&mut tx).await?;
    tx.commit().await?;
    tracing::debug!(count, "ended sessions deleted");
    Ok(())
}
