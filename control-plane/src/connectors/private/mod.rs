//! Connectors of a workspace's own: written, uploaded or imported from OpenAPI, saved version by version.
//!
//! Every saved version is kept with who saved it and when, and compiles: what does not is shown with its errors and not saved.
//! Saving changes no installation; those are brought to a newer version one by one, with what changes in sight
//! (`update`). Compiling is bounded: a few at a time, off the threads that serve pages.

mod imports;
mod store;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use toolmesh_proto::connector_hash;
use toolmesh_proto::ids::{InstallationId, PrivateConnectorId};

pub use self::imports::{CLASSES, Import, Pick};
use super::Installation;
use super::dadl::{self, CompileErrors, Compiled, Setup};
use crate::accounts::members::{Membership, Permission};
use crate::db::Db;
use crate::error::{Error, OnConstraint as _, Result};
use crate::outbound::Outbound;

/// Connectors of its own that a workspace may have.
const MAX_CONNECTORS: i64 = 100;
/// Versions that are kept of one; the oldest go first, but never one that an installation stands on.
const MAX_VERSIONS: i64 = 200;
/// Documents that are read at a time, in the whole process; each may take a few hundred megabytes.
const READERS: usize = 2;
/// Longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connector of the workspace's own, as lists show it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct PrivateConnector {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: PrivateConnectorId,
    pub name: String,
    /// Of the newest version, as are the following.
    pub title: String,
    pub number: i32,
    pub hash: String,
    pub tools: i32,
    pub saved_at: OffsetDateTime,
    pub saved_by: String,
    pub saved_by_email: String,
    /// Installations that stand on it.
    pub installations: i64,
}

/// One saved version, without its text.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Version {
    pub number: i32,
    pub hash: String,
    pub title: String,
    pub tools: i32,
    pub saved_at: OffsetDateTime,
    pub saved_by: String,
    pub saved_by_email: String,
}

/// An installation that stands on a connector of one's own.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Standing {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: InstallationId,
    pub name: String,
    pub connector_hash: String,
}

/// A version with its text, compiled.
#[derive(Clone, Debug)]
pub struct Opened {
    pub version: Version,
    pub source: String,
    pub compiled: Arc<Compiled>,
}

/// The capability with what it needs. Cheap to clone; clones share the turns.
#[derive(Clone)]
pub struct PrivateConnectors {
    db: Db,
    outbound: Outbound,
    turns: Arc<Semaphore>,
}

impl PrivateConnectors {
    #[must_use]
    pub fn new(db: Db, outbound: Outbound) -> Self {
        Self { db, outbound, turns: Arc::new(Semaphore::new(READERS)) }
    }

    /// A turn for something large: a document in memory, or work on one.
    ///
    /// # Errors
    /// `Busy` when none is free soon.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        tokio::time::timeout(PATIENCE, turn).await.ok().and_then(std::result::Result::ok).ok_or(Error::Busy)
    }

    /// Does work on a document away from the threads that serve pages.
    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let turn = self.turn().await?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            job()
        });
        done.await.map_err(Error::internal)
    }

    /// Compiles a text; what is wrong with it is part of the answer.
    ///
    /// # Errors
    /// `Busy` when too much is being compiled.
    pub async fn check(
        &self,
        source: String,
        origin: &str,
    ) -> Result<std::result::Result<Compiled, CompileErrors>> {
        let origin = origin.to_owned();
        self.work(move || dadl::compile(&source, &origin)).await
    }

    /// All connectors of the workspace's own, by name.
    ///
    /// # Errors
    /// `Forbidden` without [`Permission::Connectors`].
    pub async fn list(&self, by: &Membership) -> Result<Vec<PrivateConnector>> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        store::list(&mut tx, None).await
    }

    /// One of them, with its versions from the newest, and the installations that stand on it.
    ///
    /// # Errors
    /// `NotFound` for an id of no or another workspace.
    pub async fn get(
        &self,
        by: &Membership,
        id: PrivateConnectorId,
    ) -> Result<(PrivateConnector, Vec<Version>, Vec<Standing>)> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let connector = store::list(&mut tx, Some(id)).await?.pop().ok_or(Error::NotFound)?;
        Ok((connector, store::versions(&mut tx, id).await?, store::standing(&mut tx, id).await?))
    }

    /// One version with its text; the newest where no number is given.
    ///
    /// # Errors
    /// `NotFound` for an unknown connector or version.
    pub async fn open(&self, by: &Membership, id: PrivateConnectorId, number: Option<i32>) -> Result<Opened> {
        by.require(Permission::Connectors)?;
        let (version, source) = {
            let mut tx = self.db.tenant(by.tenant).await?;
            store::source(&mut tx, id, number).await?.ok_or(Error::NotFound)?
        };
        // A text that an older ToolMesh has saved may no longer compile; it can still be read and mended.
        let compiled = self.check(source.clone(), "connector.dadl").await?;
        let compiled = compiled.map_err(|errors| Error::Refused(errors.to_string()))?;
        Ok(Opened { version, source, compiled: Arc::new(compiled) })
    }

    /// The text of a version alone.
    ///
    /// # Errors
    /// `NotFound` for an unknown connector or version.
    pub async fn source(
        &self,
        by: &Membership,
        id: PrivateConnectorId,
        number: Option<i32>,
    ) -> Result<(Version, String)> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        store::source(&mut tx, id, number).await?.ok_or(Error::NotFound)
    }

    /// What the text of an installation's connector says of its credentials; nothing where it says nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn setup(&self, by: &Membership, installation: &Installation) -> Result<Setup> {
        let text = {
            let mut tx = self.db.tenant(by.tenant).await?;
            store::text_of(&mut tx, &installation.connector_hash).await?
        };
        match text {
            Some(text) => self.work(move || dadl::setup(&text)).await,
            None => Ok(Setup::default()),
        }
    }

    /// Saves a new connector with its first version.
    ///
    /// # Errors
    /// A field error for `source` when the text does not compile or its name is taken.
    pub async fn create(&self, by: &Membership, source: &str) -> Result<PrivateConnectorId> {
        by.require(Permission::Connectors)?;
        let compiled = self.compiled(source).await?;
        let mut tx = self.db.tenant(by.tenant).await?;
        if store::count(&mut tx).await? >= MAX_CONNECTORS {
            let message = "This workspace has 100 connectors of its own, which is the most. Delete one that is not used.";
            return Err(Error::field("source", message));
        }
        let id = PrivateConnectorId::new();
        let name = &compiled.connector.name;
        store::insert(&mut tx, id, name, by.user).await.on_constraint("private_connectors_name_key", || {
            let message = format!("This workspace has a connector named {name} already. Change backend.name, or edit that one.");
            Error::field("source", message)
        })?;
        store::insert_version(&mut tx, id, 1, &saved(&compiled, source), by.user).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Saves a new version and answers its number; the same text as before is no new version.
    ///
    /// # Errors
    /// A field error for `source` when the text does not compile or has another name.
    pub async fn save(&self, by: &Membership, id: PrivateConnectorId, source: &str) -> Result<i32> {
        by.require(Permission::Connectors)?;
        let compiled = self.compiled(source).await?;
        let mut tx = self.db.tenant(by.tenant).await?;
        let connector = store::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        if connector != compiled.connector.name {
            let message = format!(
                "A version keeps its connector's name: write `name: {connector}`, or save this as a new connector."
            );
            return Err(Error::field("source", message));
        }
        let newest = store::source(&mut tx, id, None).await?;
        let number = match newest {
            Some((version, text)) if text == source => return Ok(version.number),
            Some((version, _)) => version.number.saturating_add(1),
            None => 1,
        };
        store::insert_version(&mut tx, id, number, &saved(&compiled, source), by.user).await?;
        store::prune_versions(&mut tx, id, MAX_VERSIONS).await?;
        tx.commit().await?;
        Ok(number)
    }

    /// Deletes a connector with all its versions.
    ///
    /// # Errors
    /// `Refused` while an installation stands on it.
    pub async fn delete(&self, by: &Membership, id: PrivateConnectorId) -> Result<()> {
        by.require(Permission::Connectors)?;
        let mut tx = self.db.tenant(by.tenant).await?;
        store::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let standing = store::standing(&mut tx, id).await?;
        if let Some(first) = standing.first() {
            let message = format!(
                "{} stands on this connector. Remove it first, then delete the connector.",
                first.name
            );
            return Err(Error::Refused(message));
        }
        store::delete(&mut tx, id).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn compiled(&self, source: &str) -> Result<Compiled> {
        let compiled = self.check(source.to_owned(), "connector.dadl").await?;
        compiled.map_err(|errors| {
            let count = errors.errors.len() + errors.more;
            let first = errors.errors.first().map(ToString::to_string).unwrap_or_default();
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            Error::field("source", format!("It is not saved, because it does not compile: {first}{more}"))
        })
    }
}

/// What is stored of a version.
struct Saved<'a> {
    hash: String,
    title: String,
    tools: i32,
    source: &'a str,
}

fn saved<'a>(compiled: &Compiled, source: &'a str) -> Saved<'a> {
    Saved {
        hash: connector_hash(&compiled.connector),
        title: compiled.connector.title.clone(),
        tools: i32::try_from(compiled.connector.tools.len()).unwrap_or(i32::MAX),
        source,
    }
}
