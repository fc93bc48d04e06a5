//! The audit log: storing what nodes report, searching it, counting.
//!
//! Events are written once and never changed. Knows nothing of how they travel; `push` receives them.

pub mod store;

use std::collections::{BTreeMap, HashMap};

use time::OffsetDateTime;
use toolmesh_proto::beside_calls;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::{AuditEventId, InstallationId, TenantId, UserId};
use toolmesh_proto::v1;

use crate::accounts::keys::{self, KeyUse};
use crate::accounts::members::{Membership, Permission};
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};

/// Rows on one page of the log.
pub const PAGE: i64 = 50;

/// Calls shown below the one on whose behalf they were made: more than a run may make.
pub const KIN: i64 = 250;

/// One call, as the log shows it, or what a node tells beside calls.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Event {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: AuditEventId,
    pub at: OffsetDateTime,
    pub request_id: uuid::Uuid,
    pub user_id: Option<uuid::Uuid>,
    /// Name and address, where the caller is known.
    pub user_name: Option<String>,
    pub user_email: Option<String>,
    /// The service account, where it was no person; the name while it is there.
    pub service_account_id: Option<uuid::Uuid>,
    pub service_account_name: Option<String>,
    /// Name of the OAuth client or of the API key.
    pub client_name: Option<String>,
    pub client_id: Option<String>,
    pub api_key_name: Option<String>,
    pub client_agent: String,
    pub remote_addr: String,
    pub node: String,
    pub method: String,
    pub tool: String,
    pub installation_id: Option<uuid::Uuid>,
    pub access: String,
    pub arguments: Option<serde_json::Value>,
    /// `ok`, `denied`, `invalid`, `upstream_error`, `upstream_failed`, `internal`, `unknown`.
    pub outcome: String,
    pub reason: String,
    pub duration_ms: i32,
    pub upstream_status: Option<i32>,
    pub upstream_ms: Option<i32>,
    pub result_bytes: i64,
    pub steps: serde_json::Value,
    /// Where other calls were made on behalf of this one.
    pub call_id: Option<uuid::Uuid>,
    /// Where this one was made on behalf of another.
    pub parent_call_id: Option<uuid::Uuid>,
}

impl Event {
    /// Whether it is of no call; the reason says what it is.
    #[must_use]
    pub fn is_beside_calls(&self) -> bool {
        self.method.starts_with(beside_calls::PREFIX)
    }
}

/// What a call has to do with others.
#[derive(Clone, Debug, Default)]
pub struct Kin {
    /// The call on whose behalf it was made, as far as it is known.
    pub parent: Option<Event>,
    /// Calls made on its behalf, in the order they began, at most [`KIN`].
    pub children: Vec<Event>,
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Part of the tool's name, the reason, the person, the client or the request id.
    pub text: Option<String>,
    pub outcome: Option<String>,
    pub who: Option<Subject>,
    pub tool: Option<String>,
    /// Older than this event.
    pub before: Option<AuditEventId>,
}

/// Counts of the last 24 hours.
#[derive(Clone, Copy, Debug, Default, sqlx::FromRow)]
pub struct Day {
    pub calls: i64,
    pub errors: i64,
    pub p95_ms: f64,
    /// Different users.
    pub people: i64,
}

/// Counts of one hour.
#[derive(Clone, Copy, Debug, Default, sqlx::FromRow)]
pub struct Hour {
    pub calls: i64,
    pub errors: i64,
}

/// What the log can be filtered by.
#[derive(Clone, Debug, Default)]
pub struct Facets {
    pub users: Vec<(uuid::Uuid, String)>,
    pub service_accounts: Vec<(uuid::Uuid, String)>,
    pub tools: Vec<String>,
}

/// Stands where the events of nodes have theirs.
pub const CONTROL_PLANE: &str = "control plane";

/// Something that this plane notes beside calls. Holds no secret.
pub struct Beside {
    method: &'static str,
    installation: InstallationId,
    by: Option<UserId>,
    reason: String,
    ok: bool,
}

impl Beside {
    /// A connection to an account at a provider ended; `by` is whose it was, or who ended it.
    #[must_use]
    pub const fn ended(installation: InstallationId, by: Option<UserId>, reason: String, ok: bool) -> Self {
        Self { method: beside_calls::DISCONNECTED, installation, by, reason, ok }
    }
}

/// Notes what was done or came to light here.
///
/// # Errors
/// When the database fails.
pub async fn note(tx: &mut TenantTx, beside: Beside) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    let outcome = if beside.ok { v1::Outcome::Ok } else { v1::Outcome::UpstreamFailed };
    let event = v1::AuditEvent {
        sequence: 1,
        at_micros: i64::try_from(now.unix_timestamp_nanos() / 1000).unwrap_or_default(),
        tenant_id: tx.tenant().to_string(),
        request_id: uuid::Uuid::now_v7().to_string(),
        user_id: beside.by.map(|user| user.to_string()).unwrap_or_default(),
        method: beside.method.to_owned(),
        installation_id: beside.installation.to_string(),
        outcome: outcome.into(),
        reason: beside.reason,
        ..v1::AuditEvent::default()
    };
    // Each is the only one of its kind: what a node needs against storing twice is not needed within a transaction.
    let boot_id = uuid::Uuid::now_v7().to_string();
    store::insert(tx, store::Origin { node: CONTROL_PLANE, boot_id: &boot_id }, &[event]).await
}

/// Stores a node's batch. Events that are stored already, and events of tenants that are gone, count as stored. Answers the
/// sequence up to which everything is stored.
///
/// # Errors
/// When the database fails; the node sends again.
pub async fn ingest(db: &Db, batch: v1::AuditBatch) -> Result<u64> {
    let through = batch.events.last().map_or(0, |event| event.sequence);
    let mut by_tenant: BTreeMap<TenantId, Vec<v1::AuditEvent>> = BTreeMap::new();
    for event in batch.events {
        match event.tenant_id.parse() {
            Ok(tenant) => by_tenant.entry(tenant).or_default().push(event),
            Err(_) => tracing::error!(node = batch.node, sequence = event.sequence, "event without a tenant"),
        }
    }
    for (tenant, events) in by_tenant {
        let mut tx = db.tenant(tenant).await?;
        if !store::tenant_exists(&mut tx).await? {
            tracing::warn!(%tenant, count = events.len(), "events of a tenant that is gone");
            continue;
        }
        let origin = store::Origin { node: &batch.node, boot_id: &batch.boot_id };
        match store(&mut tx, origin, &events).await {
            Ok(()) => tx.commit().await?,
            // The data, not the database: whatever is good is stored, so that one event cannot hold up all that follow.
            Err(Error::Db(error)) if error.is_bad_data() => {
                drop(tx);
                one_by_one(db, tenant, origin, &events).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(through)
}

/// Stores events, and notes which keys were used.
async fn store(tx: &mut TenantTx, origin: store::Origin<'_>, events: &[v1::AuditEvent]) -> Result<()> {
    store::insert(tx, origin, events).await?;
    let uses: Vec<KeyUse> = events.iter().filter_map(key_use).collect();
    keys::note_uses(tx, &uses).await
}

fn key_use(event: &v1::AuditEvent) -> Option<KeyUse> {
    if event.method.starts_with(beside_calls::PREFIX) {
        return None;
    }
    let at = i128::from(store::plausible(event.at_micros)) * 1000;
    Some(KeyUse {
        key: event.api_key_id.parse().ok()?,
        at: OffsetDateTime::from_unix_timestamp_nanos(at).ok()?,
        from: event.remote_addr.replace('\0', ""),
    })
}

async fn one_by_one(
    db: &Db,
    tenant: TenantId,
    origin: store::Origin<'_>,
    events: &[v1::AuditEvent],
) -> Result<()> {
    for event in events {
        let mut tx = db.tenant(tenant).await?;
        match store(&mut tx, origin, std::slice::from_ref(event)).await {
            Ok(()) => tx.commit().await?,
            Err(Error::Db(error)) if error.is_bad_data() => {
                tracing::error!(%tenant, node = origin.node, sequence = event.sequence, error = ?error, "event refused");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A page of the log, newest first.
///
/// # Errors
/// `Forbidden` without [`Permission::Audit`].
pub async fn list(db: &Db, by: &Membership, filter: &Filter) -> Result<Vec<Event>> {
    by.require(Permission::Audit)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::list(&mut tx, filter, PAGE).await
}

/// One event.
///
/// # Errors
/// `Forbidden` without [`Permission::Audit`]; `NotFound` for an id of no or another workspace.
pub async fn get(db: &Db, by: &Membership, id: AuditEventId) -> Result<Event> {
    by.require(Permission::Audit)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::get(&mut tx, id).await?.ok_or(Error::NotFound)
}

/// The calls that belong to an event.
///
/// # Errors
/// `Forbidden` without [`Permission::Audit`].
pub async fn kin(db: &Db, by: &Membership, event: &Event) -> Result<Kin> {
    by.require(Permission::Audit)?;
    if event.call_id.is_none() && event.parent_call_id.is_none() {
        return Ok(Kin::default());
    }
    let mut tx = db.tenant(by.tenant).await?;
    let parent = match event.parent_call_id {
        Some(call) => store::by_call(&mut tx, call).await?,
        None => None,
    };
    let children = match event.call_id {
        Some(call) => store::children(&mut tx, call, KIN).await?,
        None => Vec::new(),
    };
    Ok(Kin { parent, children })
}

/// The last calls: of everybody for who may read the log, else of oneself.
///
/// # Errors
/// When the database fails.
pub async fn recent(db: &Db, by: &Membership, count: i64) -> Result<Vec<Event>> {
    let mut tx = db.tenant(by.tenant).await?;
    let who = if by.may(Permission::Audit) { None } else { Some(Subject::User(by.user)) };
    store::list(&mut tx, &Filter { who, ..Filter::default() }, count).await
}

/// Counts of the last 24 hours, of everybody for who may read the log, else of oneself.
///
/// # Errors
/// When the database fails.
pub async fn day(db: &Db, by: &Membership) -> Result<Day> {
    let mut tx = db.tenant(by.tenant).await?;
    let user = if by.may(Permission::Audit) { None } else { Some(by.user) };
    store::day(&mut tx, user).await
}

/// The last 24 hours, hour by hour, the oldest first.
///
/// # Errors
/// `Forbidden` without [`Permission::Audit`].
pub async fn hours(db: &Db, by: &Membership) -> Result<Vec<Hour>> {
    by.require(Permission::Audit)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::hours(&mut tx).await
}

/// When the first call came: of anybody for who may read the log, else of oneself.
///
/// # Errors
/// When the database fails.
pub async fn first_call(db: &Db, by: &Membership) -> Result<Option<OffsetDateTime>> {
    let mut tx = db.tenant(by.tenant).await?;
    let user = if by.may(Permission::Audit) { None } else { Some(by.user) };
    store::first_call(&mut tx, user).await
}

/// When each user called last, within 90 days.
///
/// # Errors
/// `Forbidden` without [`Permission::Members`].
pub async fn last_calls(db: &Db, by: &Membership) -> Result<HashMap<UserId, OffsetDateTime>> {
    by.require(Permission::Members)?;
    let mut tx = db.tenant(by.tenant).await?;
    Ok(store::last_calls(&mut tx).await?.into_iter().map(|(id, at)| (id.into(), at)).collect())
}

/// The users and tools of the last 30 days.
///
/// # Errors
/// `Forbidden` without [`Permission::Audit`].
pub async fn facets(db: &Db, by: &Membership) -> Result<Facets> {
    by.require(Permission::Audit)?;
    let mut tx = db.tenant(by.tenant).await?;
    Ok(Facets {
        users: store::users(&mut tx).await?,
        service_accounts: store::service_accounts(&mut tx).await?,
        tools: store::tools(&mut tx).await?,
    })
}
