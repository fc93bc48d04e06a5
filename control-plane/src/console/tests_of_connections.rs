//! Test connection: one harmless call, made by a node with settings that may not be saved, shown step by step.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use toolmesh_proto::v1;

use super::App;
use super::catalog::{ConnectorPath, Refused, again, base, entry, install};
use super::connect::lend;
use super::forms::Fields;
use super::installations::{InstallationPath, show_with_report};
use super::respond::{Page, page};
use super::session::Workspace;
use super::view::{StepState, TestReport, TestStep, duration};
use crate::accounts::members::Permission;
use crate::connectors::{Install, Source};
use crate::error::{Error, Result};

/// The test in the form that enables a connector.
pub(super) async fn draft(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<ConnectorPath>,
    headers: HeaderMap,
    fields: Fields,
) -> Page {
    let entry = entry(&app, &path.connector)?;
    let (report, refused) = of_draft(&app, &at, install(&entry.name, &fields)).await?;
    if headers.contains_key("hx-request") {
        return page(&report);
    }
    page(&again(&app, &at, entry, &base(&at, entry), &fields, refused, Some(report)).await?)
}

/// Tests what is not saved yet; a field that has to be mended comes with the report.
pub(super) async fn of_draft(
    app: &App,
    at: &Workspace,
    input: Install,
) -> Result<(TestReport, Option<Refused>)> {
    match run(app, at, None, input).await {
        Ok(report) => Ok((report, None)),
        Err(Error::Field { field, message }) => Ok((not_tried(&message), Some(Refused { field, message }))),
        Err(Error::Refused(message)) => Ok((not_tried(&message), None)),
        Err(error) => Err(error),
    }
}

/// The test of an installation as it is saved.
pub(super) async fn saved(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    headers: HeaderMap,
    _fields: Fields,
) -> Page {
    at.member.require(Permission::Connectors)?;
    let installation = app.installations.get(at.tenant.id, path.id()?).await?;
    let input = Install {
        source: Source::BuiltIn(String::new()),
        name: installation.name.clone(),
        base_url: installation.base_url.clone(),
        credentials: Vec::new(),
    };
    let report = match run(&app, &at, Some(installation.id), input).await {
        Ok(report) => report,
        Err(Error::Refused(message) | Error::Field { message, .. }) => not_tried(&message),
        Err(error) => return Err(error.into()),
    };
    if headers.contains_key("hx-request") {
        return page(&report);
    }
    let response: Response = show_with_report(&app, &at, installation, Some(report)).await?;
    Ok(response)
}

async fn run(
    app: &App,
    at: &Workspace,
    saved: Option<toolmesh_proto::ids::InstallationId>,
    input: Install,
) -> Result<TestReport> {
    let (connector, mut installation) = app.installations.draft(&at.member, saved, input).await?;
    if connector.probe_tool.is_empty() {
        return Ok(not_tried("This connector names no harmless call, so there is nothing to test with."));
    }
    lend(app, at, saved, &connector, &mut installation).await?;
    let title = connector.title.clone();
    // A health check has no name that says anything to a person.
    let tool =
        connector.tools.iter().find(|tool| tool.name == connector.probe_tool && connector.health.is_none());
    let tool_title = tool.map(|tool| tool.title.clone()).unwrap_or_default();
    let request = v1::ProbeRequest {
        probe_id: uuid::Uuid::now_v7().to_string(),
        tenant_id: at.tenant.id.to_string(),
        tool: connector.probe_tool.clone(),
        arguments_json: connector.probe_arguments_json.clone(),
        connector: Some(connector),
        installation: Some(installation),
    };
    Ok(report(&title, &tool_title, app.hub.probe(request).await?))
}

fn report(title: &str, tool: &str, result: v1::ProbeResult) -> TestReport {
    let summary = match (result.ok, tool) {
        (true, "") => format!("{title} answered as it should. The connection works."),
        (true, tool) => format!("{title} answered “{tool}”. The connection works."),
        (false, _) => format!("{title} could not be used with these settings."),
    };
    TestReport { ok: result.ok, summary, steps: result.steps.into_iter().map(step).collect() }
}

fn step(step: v1::ProbeStep) -> TestStep {
    let title = match step.name.as_str() {
        "address" => "Look up the address",
        "connect" => "Connect",
        "request" => "Send the request",
        "status" => "Read the status",
        "answer" => "Read the answer",
        other => other,
    };
    let state = if step.ok { StepState::Done } else { StepState::Failed };
    let took = step.ok.then(|| duration(u64::from(step.millis) * 1000));
    TestStep { title: title.to_owned(), state, detail: step.detail, took, fix: None }
}

fn not_tried(message: &str) -> TestReport {
    TestReport { ok: false, summary: message.to_owned(), steps: Vec::new() }
}
