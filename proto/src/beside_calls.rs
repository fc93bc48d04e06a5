//! What nodes put into the audit log that is no call: it stands where a call has its method.

/// What all of these begin with.
pub const PREFIX: &str = "audit/";

/// Calls that could not be recorded; the reason says how many.
pub const GAP: &str = "audit/gap";

/// Requests that a rate limit refused within a minute; the reason says how many and which limit.
pub const REFUSED: &str = "audit/refused";
