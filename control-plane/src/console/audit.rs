//! The audit log.

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::AuditEventId;
use toolmesh_proto::names;

use super::App;
use super::respond::{Page, page};
use super::session::Workspace;
use super::view::{
    Access, AuditFilters, AuditList, AuditPage, CallDetail, CallPath, CallRow, Choice, Moment, Nav, Outcome,
    Verdict, duration,
};
use crate::audit::{self, Event, Filter, Kin};
use crate::error::{Error, Result};

#[derive(Deserialize)]
pub(super) struct EventPath {
    id: String,
}

/// The filters in the URL.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    outcome: String,
    user: String,
    tool: String,
    before: String,
}

impl Asked {
    fn filter(&self) -> Filter {
        let text = |value: &str| Some(value.trim().replace('\0', "")).filter(|v| !v.is_empty());
        Filter {
            text: text(&self.q),
            outcome: text(&self.outcome),
            who: self.user.parse().ok(),
            tool: text(&self.tool),
            before: self.before.parse().ok(),
        }
    }

    /// The filters as a query string, without the place in the list.
    fn query(&self) -> String {
        let pairs = [("q", &self.q), ("outcome", &self.outcome), ("user", &self.user), ("tool", &self.tool)];
        let given = pairs.into_iter().filter(|(_, value)| !value.trim().is_empty());
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish()
    }
}

pub(super) async fn list(
    State(app): State<App>,
    at: Workspace,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Page {
    let list = rows(&app, &at, &asked, None).await?;
    if headers.contains_key("hx-request") {
        return page(&list);
    }
    let filters = filters(&app, &at, &asked).await?;
    page(&AuditPage { shell: at.shell("Audit", Nav::Audit).await?, filters, list, detail: None })
}

pub(super) async fn show(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<EventPath>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Page {
    let id: AuditEventId = path.id.parse().map_err(|_| Error::NotFound)?;
    let event = audit::get(&app.db, &at.member, id).await?;
    let list = rows(&app, &at, &asked, Some(id)).await?;
    if headers.get("hx-target").is_some_and(|target| target == "audit-list") {
        return page(&list);
    }
    let installation = installation(&app, &at, &event).await?;
    let kin = audit::kin(&app.db, &at.member, &event).await?;
    let detail = Some(detail(event, installation, kin));
    let filters = filters(&app, &at, &asked).await?;
    page(&AuditPage { shell: at.shell("Audit", Nav::Audit).await?, filters, list, detail })
}

async fn rows(app: &App, at: &Workspace, asked: &Asked, chosen: Option<AuditEventId>) -> Result<AuditList> {
    let events = audit::list(&app.db, &at.member, &asked.filter()).await?;
    let full = i64::try_from(events.len()).is_ok_and(|n| n == audit::PAGE);
    let now = OffsetDateTime::now_utc();
    Ok(AuditList {
        base: at.path("/audit"),
        query: asked.query(),
        older: events.last().filter(|_| full).map(|event| event.id.to_string()),
        rows: events.iter().map(|event| row(event, now)).collect(),
        chosen: chosen.map(|id| id.to_string()),
        newest: asked.before.is_empty(),
    })
}

async fn filters(app: &App, at: &Workspace, asked: &Asked) -> Result<AuditFilters> {
    let facets = audit::facets(&app.db, &at.member).await?;
    let all = |label: &str, current: &str| Choice::new("", label, current);
    let users = facets.users.into_iter().map(|(id, name)| (Subject::User(id.into()), name));
    let accounts = facets.service_accounts.into_iter().map(|(id, name)| (Subject::Service(id.into()), name));
    let people = users.chain(accounts.map(|(id, name)| (id, format!("{name} (service account)"))));
    let people = people.map(|(id, name)| Choice::new(id.to_string(), name, &asked.user));
    let tools = facets.tools.into_iter().map(|tool| Choice::new(tool.clone(), tool, &asked.tool));
    Ok(AuditFilters {
        q: asked.q.clone(),
        outcomes: AuditFilters::outcome_choices(&asked.outcome),
        users: std::iter::once(all("Anybody", &asked.user)).chain(people).collect(),
        tools: std::iter::once(all("Any tool", &asked.tool)).chain(tools).collect(),
        query: asked.query(),
    })
}

/// One entry of a list.
pub(super) fn row(event: &Event, now: OffsetDateTime) -> CallRow {
    let beside = event.is_beside_calls();
    let gone = event.service_account_id.map(|_| "Deleted service account".to_owned());
    let known = [&event.user_name, &event.user_email, &event.service_account_name, &gone];
    let nobody = if beside { "Everybody" } else { "Unknown" };
    let who = known.into_iter().flatten().next().cloned().unwrap_or_else(|| nobody.to_owned());
    let key = event.api_key_name.as_ref().map(|name| format!("Key: {name}"));
    let client = event.client_name.clone().or(key).unwrap_or_else(|| event.client_agent.clone());
    CallRow {
        id: event.id.to_string(),
        at: Moment::new(event.at, now),
        who,
        client,
        tool: event.tool.clone(),
        beside: beside.then(|| event.reason.trim_end_matches('.').to_owned()),
        access: Access::new(event.access.clone()),
        outcome: Outcome::parse(&event.outcome),
        took: duration(u64::from(event.duration_ms.cast_unsigned()) * 1000),
    }
}

/// The installation's name and id, while it is there.
async fn installation(app: &App, at: &Workspace, event: &Event) -> Result<Option<(String, String)>> {
    let Some(id) = event.installation_id else { return Ok(None) };
    match app.installations.get(at.tenant.id, id.into()).await {
        Ok(found) => Ok(Some((found.name, id.to_string()))),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn detail(event: Event, installation: Option<(String, String)>, kin: Kin) -> CallDetail {
    let verdicts: Vec<Verdict> = event.steps.as_array().into_iter().flatten().map(verdict).collect();
    let code = code(&event);
    let arguments = event.arguments.as_ref().map(serde_json::to_string_pretty);
    let now = OffsetDateTime::now_utc();
    CallDetail {
        row: row(&event, now),
        code,
        parent: kin.parent.map(|parent| row(&parent, now)),
        children: kin.children.iter().map(|child| row(child, now)).collect(),
        email: event.user_email,
        machine: event.service_account_id.is_some(),
        agent: event.client_agent,
        remote_addr: event.remote_addr,
        method: event.method,
        installation,
        arguments: arguments.and_then(std::result::Result::ok).unwrap_or_default(),
        reason: event.reason,
        request_id: event.request_id.to_string(),
        upstream_status: event.upstream_status.map(i32::cast_unsigned),
        upstream_took: event.upstream_ms.map(|ms| duration(u64::from(ms.cast_unsigned()) * 1000)),
        result_size: size(event.result_bytes),
        node: Some(event.node).filter(|node| node != audit::CONTROL_PLANE),
        path: CallPath::of_call(&verdicts),
    }
}

/// The code of a call whose arguments are code, to be read as such.
fn code(event: &Event) -> Option<String> {
    let arguments = event.arguments.as_ref().filter(|_| event.tool == names::EXECUTE_CODE)?;
    arguments.get("code")?.as_str().map(str::to_owned)
}

fn verdict(step: &serde_json::Value) -> Verdict {
    let text = |key: &str| step.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    Verdict {
        name: text("name"),
        ok: step.get("ok").and_then(serde_json::Value::as_bool).unwrap_or_default(),
        micros: step.get("micros").and_then(serde_json::Value::as_u64).unwrap_or_default(),
        detail: text("detail"),
    }
}

/// Bytes as people say them: `512 B`, `1.2 kB`, `3.4 MB`.
fn size(bytes: i64) -> String {
    match bytes {
        ..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}
