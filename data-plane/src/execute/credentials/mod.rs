//! Credentials at the moment of use: opened for one call, put in their place in the request, dropped.
//!
//! Also owns keeping them out of everything else: what comes back from an API or goes to the audit log is scrubbed of them.
//! `auth` is how a connector shows who is calling, `opened` the secrets of one call, `placement` where they go in its request,
//! `scrub` how they are taken out of texts.

mod auth;
mod opened;
mod placement;
mod scrub;
#[cfg(test)]
mod tests;

pub(super) use self::auth::header;
pub use self::auth::{Auth, AuthError};
pub use self::opened::{CredentialError, Opened};
pub use self::placement::Placement;
pub(super) use self::placement::Shown;
pub use self::scrub::REDACTED;
pub(super) use self::scrub::scrub;
