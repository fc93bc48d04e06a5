//! What the authorization server refused, kept for the admins of the workspace: a client that cannot log in says little, and
//! people ask their admin.
//!
//! Anybody can cause a refusal, so what is kept is bounded: the same within a minute is one row with a count, a workspace
//! gets so many new rows a second, and old ones are deleted. The log has them all.

pub mod store;

use std::num::NonZeroU32;

use aws_lc_rs::digest;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use time::OffsetDateTime;
use toolmesh_proto::ids::TenantId;

use super::Oauth;
use crate::accounts::is_invisible;
use crate::accounts::members::{Membership, Permission};
use crate::db::Db;
use crate::error::Result;

/// Longest client id, reason and address that are kept.
const MAX_TEXT: usize = 300;

/// Where something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Authorize,
    Token,
    Register,
    Revoke,
}

impl Endpoint {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Token => "token",
            Self::Register => "register",
            Self::Revoke => "revoke",
        }
    }
}

/// A refusal as it happens. Nothing of it is secret.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    pub endpoint: Endpoint,
    /// As the client said; it may be anything.
    pub client_id: &'a str,
    /// RFC 6749's word.
    pub error: &'a str,
    pub reason: &'a str,
    pub address: &'a str,
}

/// One that was kept.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Kept {
    pub at: OffsetDateTime,
    pub endpoint: String,
    pub client_id: String,
    pub client_name: String,
    pub error: String,
    pub reason: String,
    pub remote_addr: String,
    pub times: i32,
}

/// How many new rows a workspace gets.
pub struct RefusalLimit(DefaultKeyedRateLimiter<TenantId>);

impl Default for RefusalLimit {
    fn default() -> Self {
        let number = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self(RateLimiter::keyed(Quota::per_second(number(2)).allow_burst(number(200))))
    }
}

impl RefusalLimit {
    /// Forgets buckets that are full again.
    pub fn tidy(&self) {
        self.0.retain_recent();
    }
}

impl Oauth {
    /// Logs a refusal and keeps it. Never fails the answer that it belongs to.
    pub async fn note_refusal(&self, tenant: TenantId, refusal: Refused<'_>) {
        let client_id = clean(refusal.client_id);
        tracing::info!(
            %tenant,
            endpoint = refusal.endpoint.as_str(),
            client_id,
            error = refusal.error,
            reason = refusal.reason,
            "oauth request refused"
        );
        if self.refusal_limit.0.check_key(&tenant).is_err() {
            return;
        }
        if let Err(error) = self.keep_refusal(tenant, &client_id, refusal).await {
            tracing::warn!(error = ?error, "a refusal could not be kept");
        }
    }

    async fn keep_refusal(&self, tenant: TenantId, client_id: &str, refusal: Refused<'_>) -> Result<()> {
        let mut tx = self.db.tenant(tenant).await?;
        let name = self.client(&mut tx, refusal.client_id).await?.map(|client| client.name);
        let reason = clean(refusal.reason);
        let parts = [refusal.endpoint.as_str(), client_id, refusal.error, &reason].join("\n");
        let row = store::NewRow {
            fingerprint: digest::digest(&digest::SHA256, parts.as_bytes()).as_ref().to_vec(),
            endpoint: refusal.endpoint.as_str(),
            client_id: client_id.to_owned(),
            client_name: name.unwrap_or_default(),
            error: clean(refusal.error),
            reason,
            remote_addr: clean(refusal.address),
        };
        store::insert(&mut tx, &row).await?;
        Ok(tx.commit().await?)
    }
}

/// The latest refusals of a workspace.
///
/// # Errors
/// `Forbidden` for who may not see them.
pub async fn latest(db: &Db, by: &Membership) -> Result<Vec<Kept>> {
    by.require(Permission::Clients)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::latest(&mut tx).await
}

/// Text of strangers, cut and without characters that hide or turn.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !is_invisible(*c)).take(MAX_TEXT).collect()
}

/// What to do about a refusal.
#[must_use]
pub fn advice(endpoint: &str, error: &str) -> &'static str {
    match (endpoint, error) {
        (_, "access_denied") => {
            "Look at the client under Clients and at who is a member; then let them try again."
        }
        ("register", _) => {
            "The client has to be mended by who makes it, or registered by hand under Clients."
        }
        (_, "invalid_client") => {
            "Remove the connection in the client and add it again. For one that was registered by hand, compare its id and \
             secret or keys with its page under Clients."
        }
        (_, "invalid_grant") => "Usually over by itself: the client asks its person to log in again.",
        (_, "unauthorized_client") => "Allow the client under Clients if it should be used.",
        (_, "invalid_target") => {
            "The client asks for another address than this workspace's endpoint. Enter the endpoint again."
        }
        ("authorize", _) => "Remove the connection in the client and add it again.",
        _ => "The client does something that this server does not know. Its maker has to mend that.",
    }
}
