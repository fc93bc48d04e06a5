//! The fast lane: learns of committed revocations and hands them to the streams at once, beside the relay and never behind it.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Hub;
use crate::db::Db;
use crate::error::Result;
use crate::revocations;

/// Without a notification, the database is read this often.
const POLL: Duration = Duration::from_millis(500);

/// Everything that matters is read this often, whatever happens meanwhile.
const FULL_EVERY: Duration = Duration::from_secs(120);

/// The lane's task.
pub struct Lane {
    pub db: Db,
    pub hub: Hub,
}

impl Lane {
    /// Runs until it is told to stop; a database that is away is waited for.
    pub async fn run(self, stop: CancellationToken) {
        while let Some(ended) = stop.run_until_cancelled(self.follow()).await {
            if let Err(error) = ended {
                tracing::warn!(error = ?error, "revocations: lost the database; trying again");
            }
            if stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await.is_none() {
                return;
            }
        }
    }

    async fn follow(&self) -> Result<()> {
        // Listening starts before the first look, so that nothing commits unseen in between.
        let mut listener = self.db.listener().await?;
        listener.listen(revocations::CHANNEL).await?;
        let mut full_at = Instant::now();
        loop {
            let full = Instant::now() >= full_at;
            if full {
                full_at = Instant::now() + FULL_EVERY;
            }
            let mut tx = self.db.global().await?;
            let rows = revocations::store::live(&mut tx, full).await?;
            tx.commit().await?;
            self.hub.alerts().learn(rows, Instant::now());
            tokio::select! {
                heard = listener.recv() => { heard?; }
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}
