//! Background work: each task is named, registered here, and stopped with the plane.

mod keys;
pub mod restored;
mod servers;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::external::External;
use crate::accounts::factors::{Factors, requirement};
use crate::accounts::{Accounts, sessions};
use crate::connectors::Upstreams;
use crate::db::Db;
use crate::oauth::Oauth;
use crate::tenants;

pub use keys::Keys;
pub use servers::Servers;

const TIDY_EVERY: Duration = Duration::from_secs(600);

/// How late the end of a grace period may reach the nodes.
const FACTORS_EVERY: Duration = Duration::from_secs(30);

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

/// Deletes what has ended: sessions, links of mails, codes and tokens, and what nodes said that are gone. Every ten minutes.
pub struct Tidy {
    pub db: Db,
    pub accounts: Accounts,
    pub factors: Factors,
    pub external: External,
    pub oauth: Oauth,
    pub upstreams: Upstreams,
}

impl Tidy {
    /// Runs until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.once().await {
                tracing::warn!(error = ?error, "tidying up failed; it will be tried again");
            }
            tokio::select! {
                () = tokio::time::sleep(TIDY_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn once(&self) -> crate::error::Result<()> {
        let mut tx = self.db.global().await?;
        let sessions = sessions::store::prune(&mut tx).await?;
        let heads = tenants::store::heads(&mut tx).await?;
        tx.commit().await?;
        self.accounts.tidy().await?;
        self.factors.tidy();
        self.external.tidy().await?;
        for (tenant, _) in heads {
            self.oauth.tidy(tenant).await?;
        }
        let states = self.upstreams.tidy().await?;
        tracing::debug!(sessions, states, "tidied up");
        Ok(())
    }
}

/// Enforces second factors in the workspaces whose days of grace have ended.
pub struct FactorsDue {
    pub db: Db,
}

impl FactorsDue {
    /// Runs until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            match requirement::enforce_due(&self.db).await {
                Ok(0) => {}
                Ok(workspaces) => tracing::info!(workspaces, "second factors are required from now on"),
                Err(error) => {
                    tracing::warn!(error = ?error, "second factors could not be enforced; it will be tried again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(FACTORS_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}
