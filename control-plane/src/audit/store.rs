//! Rows of the audit log.

use serde_json::{Value, json};
use time::OffsetDateTime;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::{AuditEventId, UserId};
use toolmesh_proto::v1::{AuditEvent, Outcome};
use uuid::Uuid;

use super::{Day, Event, Filter, Hour};
use crate::db::TenantTx;
use crate::error::Result;

pub(super) async fn tenant_exists(tx: &mut TenantTx) -> Result<bool> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT EXISTS (SELECT FROM tenants WHERE id = $1)";
    Ok(sqlx::query_scalar(sql).bind(tenant).fetch_one(tx.conn()).await?)
}

/// Which life of which node a batch comes from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub node: &'a str,
    pub boot_id: &'a str,
}

/// Inserts a batch in one statement; what is there already stays as it is.
pub(super) async fn insert(tx: &mut TenantTx, origin: Origin<'_>, events: &[AuditEvent]) -> Result<()> {
    let tenant = tx.tenant().uuid();
    let rows: Vec<Value> = events.iter().map(row).collect();
    sqlx::query(
        "INSERT INTO audit_events (tenant_id, id, at, node, boot_id, sequence, request_id, user_id, service_account_id,
           client_id, api_key_id, client_agent, remote_addr, method, tool, installation_id, access, arguments, outcome, reason, duration_ms,
           upstream_status, upstream_ms, result_bytes, steps, call_id, parent_call_id)
         SELECT $1, r.id, to_timestamp(r.at_micros / 1e6), $2, $3, r.sequence, r.request_id, r.user_id,
           r.service_account_id, r.client_id, r.api_key_id, r.client_agent, r.remote_addr, r.method, r.tool, r.installation_id, r.access, r.arguments,
           r.outcome, r.reason, r.duration_ms, r.upstream_status, r.upstream_ms, r.result_bytes, r.steps,
           r.call_id, r.parent_call_id
         FROM jsonb_to_recordset($4) AS r(id uuid, at_micros float8, sequence bigint, request_id uuid, user_id uuid,
           service_account_id uuid, client_id text, api_key_id uuid, client_agent text, remote_addr text, method text, tool text,
           installation_id uuid, access text, arguments jsonb, outcome text, reason text, duration_ms integer,
           upstream_status integer, upstream_ms integer, result_bytes bigint, steps jsonb, call_id uuid,
           parent_call_id uuid)
         ON CONFLICT ON CONSTRAINT audit_events_origin_key DO NOTHING",
    )
    .bind(tenant)
    .bind(clean(origin.node))
    .bind(clean(origin.boot_id))
    .bind(Value::Array(rows))
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn row(event: &AuditEvent) -> Value {
    let id = |text: &str| Uuid::try_parse(text).ok();
    let text = |text: &str| Some(text.replace('\0', "")).filter(|t| !t.is_empty());
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let steps: Vec<Value> = event
        .steps
        .iter()
        .map(|s| json!({ "name": s.name, "ok": s.ok, "micros": s.micros, "detail": clean(&s.detail) }))
        .collect();
    let mut arguments = serde_json::from_str(&event.arguments_json).ok();
    if let Some(value) = &mut arguments {
        without_nul(value);
    }
    json!({
        "id": AuditEventId::new(),
        "at_micros": plausible(event.at_micros),
        "sequence": event.sequence,
        "request_id": id(&event.request_id).unwrap_or_default(),
        "user_id": id(&event.user_id),
        "service_account_id": id(&event.service_account_id),
        "client_id": text(&event.client_id),
        "api_key_id": id(&event.api_key_id),
        "client_agent": clean(&event.client_agent),
        "remote_addr": clean(&event.remote_addr),
        "method": clean(&event.method),
        "tool": clean(&event.tool),
        "installation_id": id(&event.installation_id),
        "access": clean(&event.access),
        "arguments": arguments,
        "outcome": outcome(event.outcome()),
        "reason": clean(&event.reason),
        "duration_ms": number(event.duration_millis),
        "upstream_status": Some(number(event.upstream_status)).filter(|n| *n > 0),
        "upstream_ms": Some(number(event.upstream_millis)).filter(|_| event.upstream_status > 0),
        "result_bytes": i64::try_from(event.result_bytes).unwrap_or(i64::MAX),
        "steps": steps,
        "call_id": id(&event.call_id),
        "parent_call_id": id(&event.parent_call_id),
    })
}

/// A node's clock may be wrong, but not by years; the log stays sortable either way.
pub(super) fn plausible(at_micros: i64) -> i64 {
    const START_OF_2020: i64 = 1_577_836_800_000_000;
    let tomorrow = (OffsetDateTime::now_utc() + time::Duration::days(1)).unix_timestamp() * 1_000_000;
    at_micros.clamp(START_OF_2020, tomorrow)
}

/// jsonb knows no NUL character; one in an argument must not lose the whole event.
fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) => *text = clean(text),
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        Value::Object(map) => {
            *map = std::mem::take(map)
                .into_iter()
                .map(|(key, mut value)| {
                    without_nul(&mut value);
                    (clean(&key), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Denied => "denied",
        Outcome::Invalid => "invalid",
        Outcome::UpstreamError => "upstream_error",
        Outcome::UpstreamFailed => "upstream_failed",
        Outcome::Internal => "internal",
        Outcome::CodeFailed => "code_failed",
        Outcome::Cancelled => "cancelled",
        Outcome::Unknown | Outcome::Unspecified => "unknown",
    }
}

/// The columns of an event with the names of who and what called, and a condition; one static text for all that read events.
macro_rules! select_events {
    ($condition:literal) => {
        concat!(
            "SELECT e.id, e.at, e.request_id, e.user_id, u.name AS user_name, u.email AS user_email,
           e.service_account_id, s.name AS service_account_name, c.name AS client_name, e.client_id, k.name AS api_key_name, e.client_agent, e.remote_addr, e.node, e.method,
           e.tool, e.installation_id, e.access, e.arguments, e.outcome, e.reason, e.duration_ms, e.upstream_status, e.upstream_ms,
           e.result_bytes, e.steps, e.call_id, e.parent_call_id
         FROM audit_events e
         LEFT JOIN users u ON u.id = e.user_id
         LEFT JOIN service_accounts s ON s.tenant_id = e.tenant_id AND s.id = e.service_account_id
         LEFT JOIN oauth_clients c ON c.tenant_id = e.tenant_id AND c.client_id = e.client_id
         LEFT JOIN api_keys k ON k.tenant_id = e.tenant_id AND k.id = e.api_key_id
         ",
            $condition
        )
    };
}

pub(super) async fn list(tx: &mut TenantTx, filter: &Filter, limit: i64) -> Result<Vec<Event>> {
    let tenant = tx.tenant().uuid();
    let sql = select_events!(
        "WHERE e.tenant_id = $1
           AND ($2::text IS NULL OR e.outcome = $2)
           AND ($3::uuid IS NULL OR e.user_id = $3)
           AND ($8::uuid IS NULL OR e.service_account_id = $8)
           AND ($4::text IS NULL OR e.tool = $4)
           AND ($5::text IS NULL OR strpos(lower(concat_ws(' ', e.tool, e.reason, u.name, u.email, s.name, c.name, e.request_id)), lower($5)) > 0)
           AND ($6::uuid IS NULL OR (e.at, e.id) < (SELECT b.at, b.id FROM audit_events b WHERE b.tenant_id = $1 AND b.id = $6))
         ORDER BY e.at DESC, e.id DESC LIMIT $7"
    );
    let (user, account) = match filter.who {
        Some(Subject::User(id)) => (Some(id.uuid()), None),
        Some(Subject::Service(id)) => (None, Some(id.uuid())),
        None => (None, None),
    };
    let query = sqlx::query_as(sql)
        .bind(tenant)
        .bind(filter.outcome.as_deref())
        .bind(user)
        .bind(filter.tool.as_deref())
        .bind(filter.text.as_deref())
        .bind(filter.before.map(AuditEventId::uuid))
        .bind(limit)
        .bind(account);
    Ok(query.fetch_all(tx.conn()).await?)
}

pub(super) async fn get(tx: &mut TenantTx, id: AuditEventId) -> Result<Option<Event>> {
    let tenant = tx.tenant().uuid();
    let sql = select_events!("WHERE e.tenant_id = $1 AND e.id = $2");
    Ok(sqlx::query_as(sql).bind(tenant).bind(id.uuid()).fetch_optional(tx.conn()).await?)
}

/// The calls that were made on behalf of one, in the order they began.
pub(super) async fn children(tx: &mut TenantTx, call: Uuid, limit: i64) -> Result<Vec<Event>> {
    let tenant = tx.tenant().uuid();
    let sql = select_events!("WHERE e.tenant_id = $1 AND e.parent_call_id = $2 ORDER BY e.at, e.id LIMIT $3");
    Ok(sqlx::query_as(sql).bind(tenant).bind(call).bind(limit).fetch_all(tx.conn()).await?)
}

/// The call that another was made on behalf of; none until the node has told of it.
pub(super) async fn by_call(tx: &mut TenantTx, call: Uuid) -> Result<Option<Event>> {
    let tenant = tx.tenant().uuid();
    let sql = select_events!("WHERE e.tenant_id = $1 AND e.call_id = $2 LIMIT 1");
    Ok(sqlx::query_as(sql).bind(tenant).bind(call).fetch_optional(tx.conn()).await?)
}

pub(super) async fn day(tx: &mut TenantTx, user: Option<UserId>) -> Result<Day> {
    let tenant = tx.tenant().uuid();
    let since = OffsetDateTime::now_utc() - time::Duration::hours(24);
    let sql = "SELECT count(*) AS calls, count(*) FILTER (WHERE outcome <> 'ok') AS errors,
           coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms), 0) AS p95_ms,
           count(DISTINCT user_id) AS people
         FROM audit_events WHERE tenant_id = $1 AND at > $2 AND ($3::uuid IS NULL OR user_id = $3)
           AND NOT starts_with(method, 'audit/')";
    Ok(sqlx::query_as(sql).bind(tenant).bind(since).bind(user.map(UserId::uuid)).fetch_one(tx.conn()).await?)
}

pub(super) async fn hours(tx: &mut TenantTx) -> Result<Vec<Hour>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT count(e.id) AS calls, count(e.id) FILTER (WHERE e.outcome <> 'ok') AS errors
         FROM generate_series(0, 23) AS h(n)
         LEFT JOIN audit_events e ON e.tenant_id = $1 AND NOT starts_with(e.method, 'audit/')
           AND e.at >= now() - make_interval(hours => 24 - h.n) AND e.at < now() - make_interval(hours => 23 - h.n)
         GROUP BY h.n ORDER BY h.n";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn first_call(tx: &mut TenantTx, user: Option<UserId>) -> Result<Option<OffsetDateTime>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT min(at) FROM audit_events WHERE tenant_id = $1 AND ($2::uuid IS NULL OR user_id = $2)
           AND NOT starts_with(method, 'audit/')";
    Ok(sqlx::query_scalar(sql).bind(tenant).bind(user.map(UserId::uuid)).fetch_one(tx.conn()).await?)
}

pub(super) async fn last_calls(tx: &mut TenantTx) -> Result<Vec<(Uuid, OffsetDateTime)>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT user_id, max(at) FROM audit_events
         WHERE tenant_id = $1 AND user_id IS NOT NULL AND at > now() - interval '90 days'
           AND NOT starts_with(method, 'audit/') GROUP BY user_id";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn users(tx: &mut TenantTx) -> Result<Vec<(Uuid, String)>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT u.id, u.name FROM users u
         WHERE u.id IN (SELECT e.user_id FROM audit_events e WHERE e.tenant_id = $1 AND e.at > now() - interval '30 days')
         ORDER BY lower(u.name), u.id LIMIT 200";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn service_accounts(tx: &mut TenantTx) -> Result<Vec<(Uuid, String)>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT id, name FROM service_accounts WHERE tenant_id = $1 ORDER BY lower(name), id LIMIT 200";
    Ok(sqlx::query_as(sql).bind(tenant).fetch_all(tx.conn()).await?)
}

pub(super) async fn tools(tx: &mut TenantTx) -> Result<Vec<String>> {
    let tenant = tx.tenant().uuid();
    let sql = "SELECT DISTINCT tool FROM audit_events
         WHERE tenant_id = $1 AND at > now() - interval '30 days' AND outcome <> 'denied'
           AND NOT starts_with(method, 'audit/') ORDER BY tool LIMIT 200";
    Ok(sqlx::query_scalar(sql).bind(tenant).fetch_all(tx.conn()).await?)
}
