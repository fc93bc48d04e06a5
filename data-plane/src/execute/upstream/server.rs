//! What is kept of a server between calls: how it fares, how many calls it has, what it speaks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::mcp_headers::{ParamHeader, param_headers};
use toolmesh_proto::v1::upstream_state::State;
use url::Url;

use super::breaker::{Breaker, Health};
use crate::catalog::connector::Call as Kind;
use crate::catalog::{Connector, Installation};
use crate::sync::reports::Reporter;

/// Most calls of one server at a time.
const CALLS: usize = 128;
/// Most servers that are remembered; those not asked for a while are forgotten first.
const SERVERS: u64 = 20_000;
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// The stateless revision.
pub(super) const MODERN: &str = "2026-07-28";
/// The revisions that begin with `initialize`, newest first.
pub(super) const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    Modern,
    /// Streamable HTTP, beginning with `initialize` for this revision.
    Legacy(&'static str),
    /// HTTP+SSE.
    Oldest,
}

impl Era {
    /// What to speak with a server that names these revisions.
    pub(super) fn among(revisions: &[impl AsRef<str>]) -> Option<Self> {
        let speaks = |known: &str| revisions.iter().any(|revision| revision.as_ref() == known);
        if speaks(MODERN) {
            return Some(Self::Modern);
        }
        LEGACY.into_iter().find(|known| speaks(known)).map(Self::Legacy)
    }

    fn of(connector: &Connector) -> Self {
        let Some(server) = &connector.server else { return Self::Legacy(LEGACY[0]) };
        if server.old_transport {
            return Self::Oldest;
        }
        // An unknown revision is a newer one: what it understands, it says.
        Self::among(&[&server.revision]).unwrap_or(Self::Modern)
    }
}

/// Every server that was asked lately.
#[derive(Debug)]
pub(super) struct Servers {
    known: moka::sync::Cache<Named, Arc<Server>>,
    serial: AtomicU64,
    reporter: Reporter,
}

/// How an installation names a server: at another address or with other definitions it is another. Calls that began before an
/// installation changed go on with the server that they began with.
type Named = (InstallationId, String, Url);

/// One server, as one installation names it.
#[derive(Debug)]
pub(super) struct Server {
    /// Tells it from what was under the same installation before.
    pub(super) serial: u64,
    pub(super) breaker: Breaker,
    pub(super) turns: Semaphore,
    /// Of requests without a session. They begin anywhere, since another node may ask the same server, and a call that is sent again
    /// with answers has another id than before (2026-07-28).
    ids: AtomicU64,
    era: Mutex<Era>,
    /// By the tool's name.
    headers: OnceLock<HashMap<String, Vec<ParamHeader>>>,
}

impl Servers {
    pub(super) fn new(reporter: Reporter) -> Self {
        let known = moka::sync::Cache::builder().max_capacity(SERVERS).time_to_idle(REMEMBERED).build();
        Self { known, serial: AtomicU64::new(0), reporter }
    }

    /// The server of an installation.
    pub(super) fn of(&self, installation: &Installation) -> Arc<Server> {
        let named = (installation.id, installation.connector.hash.clone(), installation.base.clone());
        self.known.get_with(named, || Arc::new(self.new_server(installation)))
    }

    fn new_server(&self, installation: &Installation) -> Server {
        let (reporter, tenant, id) = (self.reporter.clone(), installation.tenant, installation.id);
        // Whatever was under this installation before is gone.
        reporter.state(tenant, id, State::Well, "");
        let breaker = Breaker::new(move |health, why| {
            let state = match health {
                Health::Well => State::Well,
                Health::Open => State::Open,
                Health::Trying => State::Trying,
            };
            reporter.state(tenant, id, state, why);
        });
        Server {
            serial: self.serial.fetch_add(1, Ordering::Relaxed),
            breaker,
            turns: Semaphore::new(CALLS),
            ids: AtomicU64::new(rand::random_range(1..1 << 52)),
            era: Mutex::new(Era::of(&installation.connector)),
            headers: OnceLock::new(),
        }
    }
}

impl Server {
    pub(super) fn era(&self) -> Era {
        *self.era.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turned(&self, era: Era) {
        *self.era.lock().unwrap_or_else(PoisonError::into_inner) = era;
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// The arguments of a tool that are sent as headers too. A tool whose annotations are bad has none: such tools are dropped
    /// before they come here.
    pub(super) fn param_headers(&self, connector: &Connector, tool: &str) -> &[ParamHeader] {
        let headers = self.headers.get_or_init(|| all_param_headers(connector));
        headers.get(tool).map_or(&[], Vec::as_slice)
    }
}

fn all_param_headers(connector: &Connector) -> HashMap<String, Vec<ParamHeader>> {
    let of = |tool: &Arc<crate::catalog::Tool>| {
        let Kind::Upstream(definition) = &tool.call else { return None };
        if !definition.get().contains(toolmesh_proto::mcp_headers::ANNOTATION) {
            return None;
        }
        let definition: Value = serde_json::from_str(definition.get()).ok()?;
        let headers = param_headers(definition.get("inputSchema")?).ok()?;
        Some((tool.name.clone(), headers))
    };
    connector.tools.iter().filter_map(of).collect()
}
