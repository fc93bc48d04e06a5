//! What happened: events are appended to a spool on disk before a caller is answered, and shipped until they are stored.
//!
//! Owns redaction, the spool and the shipping. It knows nothing of MCP; whoever carries out a call tells it the facts.
//!
//! If the control plane stays away until the spool is full (`Limits::spool_bytes`), calls go on and their events are counted
//! instead of kept; as soon as there is room, one event per tenant says how many are missing. Refusing calls instead would
//! let a long outage of the console stop the work of every tenant.

pub mod event;
mod frame;
pub mod redact;
mod replay;
pub mod shipper;
pub mod spool;

use std::sync::Arc;

use toolmesh_proto::v1::AuditEvent;

pub use self::event::CallEvent;
pub use self::spool::{Spool, SpoolError};

/// Where rooms hand in what happened.
#[derive(Clone, Debug)]
pub struct Recorder {
    spool: Arc<Spool>,
}

/// A call that was begun and may change something; it must be recorded whatever becomes of it.
#[derive(Debug)]
#[must_use]
pub struct Intent(u64);

impl Recorder {
    #[must_use]
    pub const fn new(spool: Arc<Spool>) -> Self {
        Self { spool }
    }

    /// Notes that a call is about to leave. If the node dies before [`Self::record`], its next life reports the call with an
    /// unknown outcome.
    pub fn intend(&self, event: &AuditEvent) -> Option<Intent> {
        match self.spool.intend(event) {
            Ok(number) => Some(Intent(number)),
            Err(error) => {
                tracing::debug!(%error, "intent not written");
                None
            }
        }
    }

    /// Appends an event. One that cannot be kept is counted, and the count is reported later.
    pub fn record(&self, event: AuditEvent, intent: Option<Intent>) {
        if let Err(error) = self.spool.append(event, intent.map(|intent| intent.0)) {
            tracing::debug!(%error, "audit event counted as lost");
        }
    }
}
