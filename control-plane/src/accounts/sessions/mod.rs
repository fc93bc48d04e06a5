//! Sessions of the console, in Postgres, under the SHA-256 of the id that the cookie holds; and what their owner sees of them.

pub mod store;

use std::sync::Arc;

use async_trait::async_trait;
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::UserId;
use tower_sessions::cookie::SameSite;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{self, SessionStore};
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use uuid::Uuid;

use super::events::{self, Kind};
use super::origin::Origin;
use super::{Accounts, User};
use crate::credentials::token;
use crate::db::{Db, GlobalTx};
use crate::error::Result;
use crate::revocations;

/// Without use for this long, a session ends.
const IDLE: Duration = Duration::hours(12);

/// A session as its owner sees it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SessionRow {
    /// What a page names it by.
    pub handle: Uuid,
    pub address: String,
    pub agent: String,
    /// What its owner logged in with.
    pub method: String,
    pub created_at: OffsetDateTime,
    pub last_seen_at: OffsetDateTime,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// The sessions of a person that have not ended, the one that asks first, then by last use.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &Db, user: UserId, asks: &Session) -> Result<Vec<SessionRow>> {
    store::of_user(&mut db.global().await?, user, &own_hash(asks)).await
}

/// Ends one session of a person; answers which, if there was one.
///
/// # Errors
/// When the database fails.
pub async fn end(tx: &mut GlobalTx, user: UserId, handle: Uuid) -> Result<Option<SessionRow>> {
    store::delete_one(tx, user, handle).await
}

/// Ends all sessions of a person but the one that asks; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn end_others(tx: &mut GlobalTx, user: UserId, asks: &Session) -> Result<u64> {
    store::delete_of_user(tx, user, &own_hash(asks)).await
}

/// Ends all sessions of a person; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn end_all(tx: &mut GlobalTx, user: UserId) -> Result<u64> {
    store::delete_of_user(tx, user, &[]).await
}

/// What ended when somebody signed out everywhere.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub sessions: u64,
    /// Consents of theirs, in all workspaces.
    pub apps: u64,
}

impl Ended {
    /// `2 other sessions and 1 connected app`; empty for nothing.
    #[must_use]
    pub fn words(self) -> String {
        let count = |n: u64, what: &str| match n {
            0 => None,
            1 => Some(format!("1 {what}")),
            n => Some(format!("{n} {what}s")),
        };
        let all = [count(self.sessions, "other session"), count(self.apps, "connected app")];
        all.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

impl Accounts {
    /// Ends all sessions of a person but the one that asks, and disconnects all apps that they allowed in any workspace, on
    /// every node within a second. API keys go on: programs of theirs use them, and no session made them work.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out_everywhere(&self, user: &User, asks: &Session, from: &Origin) -> Result<Ended> {
        let mut tx = self.db.global().await?;
        let sessions = end_others(&mut tx, user.id, asks).await?;
        let reason = "its owner signed out everywhere";
        let apps = revocations::revoke_everywhere(tx.conn(), user.id, reason).await?.grants;
        let ended = Ended { sessions, apps };
        events::record(&mut tx, user.id, Kind::SignedOutEverywhere, from, &ended.words()).await?;
        tx.commit().await?;
        tracing::info!(user = %user.id, sessions, grants = apps, "signed out everywhere");
        self.tell(user, Kind::SignedOutEverywhere, from, &ended.words())?;
        Ok(ended)
    }
}

/// Ends everybody's sessions; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn end_everybodys(tx: &mut GlobalTx) -> Result<u64> {
    store::delete_all(tx).await
}

/// What a session is stored under; nothing for one that has no id yet, which fits none.
fn own_hash(session: &Session) -> Vec<u8> {
    session.id().as_ref().map(hash).unwrap_or_default()
}

/// The session's store for tower-sessions.
#[derive(Clone)]
pub struct Sessions {
    db: Arc<Db>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

/// The layer that loads and saves sessions. Over TLS the cookie is `__Host-`, so that no other host can set it.
#[must_use]
pub fn layer(db: Db, https: bool) -> SessionManagerLayer<Sessions> {
    SessionManagerLayer::new(Sessions { db: Arc::new(db) })
        .with_name(if https { "__Host-toolmesh" } else { "toolmesh" })
        .with_secure(https)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(IDLE))
}

fn hash(id: &Id) -> Vec<u8> {
    token::hash(&id.to_string())
}

fn backend(error: impl std::fmt::Display) -> session_store::Error {
    session_store::Error::Backend(error.to_string())
}

#[async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        let mut tx = self.db.global().await.map_err(backend)?;
        // 128 random bits: a collision is not to be met, and an insert that meets one fails instead of sharing a session.
        store::insert(&mut tx, &hash(&record.id), record).await.map_err(backend)?;
        tx.commit().await.map_err(backend)
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        let mut tx = self.db.global().await.map_err(backend)?;
        store::update(&mut tx, &hash(&record.id), record).await.map_err(backend)?;
        tx.commit().await.map_err(backend)
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let mut tx = self.db.global().await.map_err(backend)?;
        let row = store::load(&mut tx, &hash(id)).await.map_err(backend)?;
        let Some((data, expiry_date)) = row else { return Ok(None) };
        let data = serde_json::from_value(data).map_err(|e| session_store::Error::Decode(e.to_string()))?;
        Ok((expiry_date > OffsetDateTime::now_utc()).then_some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        let mut tx = self.db.global().await.map_err(backend)?;
        store::delete(&mut tx, &hash(id)).await.map_err(backend)?;
        tx.commit().await.map_err(backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_counted_in_words_and_nothing_is_not_mentioned() {
        let words = |sessions, apps| Ended { sessions, apps }.words();
        assert_eq!(words(2, 1), "2 other sessions and 1 connected app");
        assert_eq!(words(0, 3), "3 connected apps");
        assert_eq!(words(0, 0), "");
    }
}
