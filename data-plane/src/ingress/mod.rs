//! The door: listener, host to tenant, limits, and everything a tenant's host serves beside MCP.
//!
//! What reaches a handler has a tenant, a request id and bounds on its size and time. It knows nothing of tools.

mod admit;
mod capacity;
mod client_ip;
mod documents;
mod endpoint;
mod files;
mod page;
mod problem;
mod rate;
mod refusals;
mod refused;
pub mod server;
mod standing;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::routing::{any, get};
use tokio::sync::OwnedSemaphorePermit;
use toolmesh_proto::ids::RequestId;
use tower_http::catch_panic::CatchPanicLayer;

pub use self::admit::{Gone, refresh};
pub use self::capacity::{CallPermit, Capacity, Full, ListenPermit};
pub use self::rate::{Exceeded, Rates};
pub use self::refusals::tell as tell_refusals;
pub use self::standing::Standing;
use crate::catalog::Tenant;
use crate::node::App;

/// A request that names a tenant.
#[derive(Clone, Debug)]
pub struct Visit {
    pub tenant: Arc<Tenant>,
    pub request_id: RequestId,
    /// Where the request comes from, as the edge saw it.
    pub remote_addr: IpAddr,
    /// What the client calls itself. Untrusted.
    pub client_agent: String,
    pub started: Instant,
    /// The room that the request's body takes, until nothing of it is needed any more.
    pub body: Option<Arc<OwnedSemaphorePermit>>,
}

/// Everything that a node serves.
pub fn router(app: Arc<App>) -> Router {
    let tenant = Router::new()
        .route("/", any(page::root))
        .route("/mcp", any(endpoint::mcp))
        .route("/mcp/", any(endpoint::mcp))
        .route("/files/{sealed}", any(files::file))
        .route("/.well-known/{*rest}", any(documents::well_known))
        .fallback(page::nowhere)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), admit::admit));
    Router::new()
        .route("/healthz", get(problem::health))
        .merge(tenant)
        .layer(CatchPanicLayer::custom(problem::panicked))
        .with_state(app)
}
