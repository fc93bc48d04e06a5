//! MCP servers are looked at every few hours, and when one says that what it offers has changed; what nodes say of them is kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use toolmesh_proto::ids::{InstallationId, TenantId};

use crate::connectors::Upstreams;
use crate::error::Error;
use crate::push::{Report, Told};

/// How late a look may begin.
const EVERY: Duration = Duration::from_secs(3);
/// Looks at a time.
const AT_ONCE: usize = 4;

/// The task that looks at servers.
pub struct Servers {
    pub upstreams: Upstreams,
    pub told: mpsc::Receiver<Report>,
}

impl Servers {
    /// Runs until it is told to stop; looks under way are given up then, and made again after a minute.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut looks = JoinSet::new();
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut clock = tokio::time::interval(EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                report = self.told.recv() => match report {
                    Some(report) => self.take(report).await,
                    // Nobody can tell anything any more: this process is stopping.
                    None => return stop.cancelled().await,
                },
                Some(ended) = looks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a look at an MCP server broke off");
                    }
                }
                _ = clock.tick() => self.begin(&mut looks, &turns).await,
            }
        }
    }

    /// Begins as many looks as there are turns.
    async fn begin(&self, looks: &mut JoinSet<()>, turns: &Arc<Semaphore>) {
        let free = i64::try_from(turns.available_permits()).unwrap_or_default();
        if free == 0 {
            return;
        }
        let due = match self.upstreams.due(free).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(error = ?error, "nobody knows which MCP servers are due; trying again");
                return;
            }
        };
        for (tenant, id) in due {
            let Ok(turn) = Arc::clone(turns).try_acquire_owned() else { return };
            let upstreams = self.upstreams.clone();
            looks.spawn(async move {
                look(&upstreams, tenant, id).await;
                drop(turn);
            });
        }
    }

    async fn take(&self, report: Report) {
        let Report { node, told } = report;
        let (tenant, installation) = match &told {
            Told::Back => {
                if let Err(error) = self.upstreams.node_is_back(&node).await {
                    tracing::warn!(error = ?error, node, "what a node said before of MCP servers is kept");
                }
                return;
            }
            Told::Fares(state) => (&state.tenant_id, &state.installation_id),
            Told::Changed(changed) => (&changed.tenant_id, &changed.installation_id),
        };
        let (Ok(tenant), Ok(id)) = (tenant.parse::<TenantId>(), installation.parse::<InstallationId>())
        else {
            tracing::warn!(node, "a node speaks of an MCP server by no id");
            return;
        };
        let kept = match &told {
            Told::Fares(state) => self.upstreams.fares(tenant, id, &node, state).await,
            Told::Changed(_) => self.upstreams.changed(tenant, id).await,
            Told::Back => Ok(()),
        };
        if let Err(error) = kept {
            tracing::warn!(error = ?error, node, installation = %id, "a node's word about an MCP server is lost");
        }
    }
}

async fn look(upstreams: &Upstreams, tenant: TenantId, id: InstallationId) {
    match upstreams.look(tenant, id).await {
        // Removed between being due and its turn.
        Ok(_) | Err(Error::NotFound) => {}
        Err(error) => {
            tracing::warn!(error = ?error, installation = %id, "an MCP server could not be looked at")
        }
    }
}
