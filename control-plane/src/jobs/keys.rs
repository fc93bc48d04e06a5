//! Signing keys on their schedule: looked at every ten seconds, and whenever somebody changed them.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::db::Db;
use crate::error::Result;
use crate::oauth::keys::{self, KeyRing};

const EVERY: Duration = Duration::from_secs(10);

/// The task that keeps a key ring up to date.
pub struct Keys {
    pub db: Db,
    pub ring: Arc<KeyRing>,
}

impl Keys {
    /// Runs until it is told to stop; a database that is away is waited for.
    pub async fn run(self, stop: CancellationToken) {
        while let Some(ended) = stop.run_until_cancelled(self.follow()).await {
            if let Err(error) = ended {
                tracing::warn!(error = ?error, "signing keys could not be looked at; trying again");
            }
            if stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await.is_none() {
                return;
            }
        }
    }

    async fn follow(&self) -> Result<()> {
        // Listening starts before the first look, so that nothing commits unseen in between.
        let mut listener = self.db.listener().await?;
        listener.listen(keys::CHANNEL).await?;
        loop {
            self.ring.advance().await?;
            tokio::select! {
                heard = listener.recv() => { heard?; }
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}
