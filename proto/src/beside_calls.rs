//! What is in the audit log and is no call, of nodes and of the control plane: it stands where a call has its method.

/// What all of these begin with.
pub const PREFIX: &str = "audit/";

/// Calls that could not be recorded; the reason says how many.
pub const GAP: &str = "audit/gap";

/// Requests that a rate limit refused within a minute; the reason says how many and which limit.
pub const REFUSED: &str = "audit/refused";

/// A connection to an account at a provider ended; the reason says how. Written by the control plane.
pub const DISCONNECTED: &str = "audit/disconnected";
