//! The node's side of the configuration stream: what is in force, on the wire, in memory and on disk.
//!
//! Owns the live tenant table, the last-known-good ledger and the conversation with the control plane. It knows nothing of
//! requests; other rooms only read the table.

pub mod apply;
pub mod backoff;
pub mod channel;
pub mod feed;
pub mod ledger;
pub mod probe;
pub mod reports;
pub mod stream;
pub mod table;

pub use self::ledger::Ledger;
pub use self::table::Table;
