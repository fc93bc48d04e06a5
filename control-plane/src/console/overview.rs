//! The overview of a workspace.

use axum::extract::State;
use time::OffsetDateTime;

use super::App;
use super::audit::row;
use super::connect::own_problem;
use super::respond::{Page, page};
use super::session::Workspace;
use super::view::{Checklist, Moment, Nav, OverviewPage, Shown, Totals, duration};
use crate::accounts::members::Permission;
use crate::audit;
use crate::connectors::connections::Connection;
use crate::connectors::exposure::{MOST_LISTED, listed};
use crate::error::Result;

pub(super) async fn show(State(app): State<App>, at: Workspace) -> Page {
    let shell = at.shell("Overview", Nav::Overview).await?;
    let installations = app.installations.list(at.tenant.id).await?;
    let events = audit::recent(&app.db, &at.member, 8).await?;
    let first = audit::first_call(&app.db, &at.member).await?;
    let client =
        app.oauth.last_client(at.tenant.id, at.member.user, at.member.may(Permission::Clients)).await?;
    let now = OffsetDateTime::now_utc();
    let first = first.map(|at| Moment::new(at, now));
    let checklist = Checklist::new(&shell, installations.len(), client.as_deref(), first.as_ref());
    let totals = if at.member.may(Permission::Audit) { Some(totals(&app, &at).await?) } else { None };
    let calls = events.iter().map(|event| row(event, now)).collect();
    let shown = Shown { tools: listed(&installations), most: MOST_LISTED };
    let waiting =
        if installations.iter().any(|one| one.personal) { unconnected(&app, &at).await? } else { 0 };
    page(&OverviewPage { shell, checklist, totals, calls, shown, waiting })
}

/// How many connectors wait for an account of the viewer's own.
async fn unconnected(app: &App, at: &Workspace) -> Result<usize> {
    let own = app.connections.list(&at.member).await?;
    let works = |one: &Connection| one.is_connected() && one.facts.as_ref().and_then(own_problem).is_none();
    Ok(own.iter().filter(|one| !works(one)).count())
}

async fn totals(app: &App, at: &Workspace) -> Result<Totals> {
    let day = audit::day(&app.db, &at.member).await?;
    let count = |n: i64| n.cast_unsigned();
    let micros = std::time::Duration::try_from_secs_f64(day.p95_ms / 1000.0).unwrap_or_default().as_micros();
    Ok(Totals {
        calls: count(day.calls),
        errors: count(day.errors),
        p95: (day.calls > 0).then(|| duration(u64::try_from(micros).unwrap_or(u64::MAX))),
        people: count(day.people),
        hours: audit::hours(&app.db, &at.member)
            .await?
            .into_iter()
            .map(|h| super::view::Hour { calls: count(h.calls), errors: count(h.errors) })
            .collect(),
    })
}
