//! The connectors of a workspace.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::v1::o_auth2_auth::Flow;

use super::catalog::{credential_fields, help};
use super::exposure;
use super::forms::Fields;
use super::respond::{Page, PageError, page, see_other, with_status};
use super::session::{Workspace, person};
use super::view::{
    Access, AccessCounts, Choice, CredentialFact, CredentialField, Field, HeaderFields, InstallationPage,
    InstallationRow, InstallationState, InstallationsPage, Moment, Nav, TestReport, ToolRow,
};
use super::{App, connect, connections, servers};
use crate::accounts::members::Permission;
use crate::connectors::dadl::Setup;
use crate::connectors::exposure::Exposure;
use crate::connectors::{Installation, installation};
use crate::error::{Error, Result};

/// Tools that one page shows; the filter finds the others.
const SHOWN: usize = 200;

/// The installation in the path.
#[derive(Deserialize)]
pub(super) struct InstallationPath {
    id: String,
}

impl InstallationPath {
    /// What is no id belongs to no installation.
    pub fn id(&self) -> Result<InstallationId> {
        self.id.parse().map_err(|_| Error::NotFound)
    }
}

/// Which tools are shown.
#[derive(Default, Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    access: String,
    #[serde(default)]
    q: String,
}

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    at.member.require(Permission::Connectors)?;
    let waiting = app.upstreams.waiting(at.tenant.id).await?;
    let faring = app.upstreams.faring(at.tenant.id, None).await?;
    let nodes = app.hub.nodes();
    let row = |one: &Installation| InstallationRow {
        waits: waiting.contains_key(&one.id),
        ..servers::row(one, faring.get(&one.id), &nodes)
    };
    let rows = app.installations.list(at.tenant.id).await?.iter().map(row).collect();
    page(&InstallationsPage { shell: at.shell("Connectors", Nav::Connectors).await?, rows })
}

pub(super) async fn show(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    Query(filter): Query<Filter>,
) -> Page {
    at.member.require(Permission::Connectors)?;
    let installation = app.installations.get(at.tenant.id, path.id()?).await?;
    page(&detail(&app, &at, &installation, &filter).await?)
}

/// The page with the result of a test, for browsers without a script.
pub(super) async fn show_with_report(
    app: &App,
    at: &Workspace,
    installation: Installation,
    report: Option<TestReport>,
) -> std::result::Result<Response, PageError> {
    let mut view = detail(app, at, &installation, &Filter::default()).await?;
    view.report = report;
    page(&view)
}

pub(super) async fn set_tool(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    headers: HeaderMap,
    fields: Fields,
) -> Page {
    let tool = fields.get("tool");
    let after =
        app.installations.set_tool(&at.member, path.id()?, tool, fields.get("enabled") == "true").await?;
    if !headers.contains_key("hx-request") {
        return see_other(&at.path(&format!("/connectors/{}", after.id)));
    }
    let row = after.tools().into_iter().find(|row| row.tool == tool).ok_or(Error::NotFound)?;
    exposure::with_new_count(page(&tool_row(&at, &after, row)))
}

pub(super) async fn set_access(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let (class, enabled) = (fields.get("access"), fields.get("enabled") == "true");
    let after = app.installations.set_access(&at.member, path.id()?, class, enabled).await?;
    let all = after.connector.tools.iter().filter(|tool| !tool.hidden).count();
    at.flash(format!("{} of {all} tools are on.", after.tools_on())).await?;
    see_other(&at.path(&format!("/connectors/{}", after.id)))
}

pub(super) async fn replace_credential(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    at.visitor.require_recent(&at.path(&format!("/connectors/{id}")))?;
    match app.installations.replace_credentials(&at.member, id, fields.secrets("credential.")).await {
        Ok(_) => {
            app.upstreams.reached_anew(at.tenant.id, id).await?;
            at.flash("The new credential is in use. The old one is gone.").await?;
            see_other(&at.path(&format!("/connectors/{id}")))
        }
        Err(Error::Field { message, .. }) => {
            let mend = |view: &mut InstallationPage| {
                if let Some(first) = view.credential_fields.first_mut() {
                    first.field = Field::empty().refused(message);
                }
            };
            refused(&app, &at, id, mend).await
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn set_base_url(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    match app.installations.set_base_url(&at.member, id, fields.get("base_url")).await {
        Ok(forgot) => {
            app.upstreams.reached_anew(at.tenant.id, id).await?;
            let more = if forgot {
                " The credential was for the old address and is deleted. Enter the new one."
            } else {
                ""
            };
            at.flash(format!("The base URL is saved.{more}")).await?;
            see_other(&at.path(&format!("/connectors/{id}")))
        }
        Err(Error::Field { message, .. }) => {
            let typed = Field::of(fields.get("base_url")).refused(message);
            refused(&app, &at, id, |view| view.base_url = typed).await
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn remove(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    at.visitor.require_recent(&at.path(&format!("/connectors/{id}")))?;
    match app.installations.remove(&at.member, id, fields.get("confirm")).await {
        Ok(()) => {
            at.flash("The connector is removed. Clients no longer see its tools.").await?;
            see_other(&at.path("/connectors"))
        }
        Err(Error::Field { message, .. }) => {
            let typed = Field::of(fields.get("confirm")).refused(message);
            refused(&app, &at, id, |view| view.confirm = typed).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The page again, with a time for calls that cannot be.
pub(super) async fn offering_refused(app: &App, at: &Workspace, id: InstallationId, typed: Field) -> Page {
    refused(app, at, id, |view| view.timeout = typed).await
}

/// The page again, with a field that has to be mended.
async fn refused(
    app: &App,
    at: &Workspace,
    id: InstallationId,
    mend: impl FnOnce(&mut InstallationPage),
) -> Page {
    let installation = app.installations.get(at.tenant.id, id).await?;
    let mut view = detail(app, at, &installation, &Filter::default()).await?;
    mend(&mut view);
    with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
}

/// The page that asks for a client of the authorization server, since nobody can connect without one.
pub(super) async fn client_asked(app: &App, at: &Workspace, id: InstallationId) -> Page {
    refused(app, at, id, |_| {}).await
}

/// The page again, with what was wrong of the headers of an MCP server.
pub(super) async fn headers_refused(
    app: &App,
    at: &Workspace,
    id: InstallationId,
    mend: impl FnOnce(&mut [HeaderFields]),
) -> Page {
    refused(app, at, id, |view| mend(&mut view.headers)).await
}

/// The page again, with what was wrong of a client that was entered.
pub(super) async fn client_refused(
    app: &App,
    at: &Workspace,
    id: InstallationId,
    typed: &str,
    (field, message): (&str, String),
) -> Page {
    let mend = |view: &mut InstallationPage| {
        if let Some(provider) = &mut view.provider {
            provider.field = Field::of(typed);
            if field == "client_id" {
                provider.field = Field::of(typed).refused(message);
            } else {
                provider.secret = Field::empty().refused(message);
            }
        }
    };
    refused(app, at, id, mend).await
}

pub(super) fn row(installation: &Installation) -> InstallationRow {
    let all = installation.connector.tools.iter().filter(|tool| !tool.hidden).count();
    let on = installation.tools_on();
    let state = match (installation.missing_credentials().is_empty(), unconnected(installation), on) {
        (false, ..) => InstallationState::NeedsCredential,
        (true, Some(state), _) => state,
        (true, None, 0) if all == 0 => InstallationState::NoTools,
        (true, None, 0) => InstallationState::Off,
        (true, None, _) => InstallationState::Ready,
    };
    InstallationRow {
        id: installation.id.to_string(),
        name: installation.name.clone(),
        connector: installation.connector.name.clone(),
        connector_title: installation.connector.title.clone(),
        state,
        waits: false,
        tools_on: on,
        tools_all: all,
        login: login(installation),
        last4: installation.credentials.first().map(|c| c.last4.clone()).filter(|l| !l.is_empty()),
        host: host(&installation.base_url),
    }
}

/// What keeps an installation from getting access tokens, where it lives on such.
fn unconnected(installation: &Installation) -> Option<InstallationState> {
    if installation.personal {
        return None;
    }
    let by_consent = installation::oauth2(&installation.connector)?.flow() == Flow::AuthorizationCode;
    let problem = installation.grant.as_ref().and_then(|facts| connect::problem(facts, by_consent));
    let connected = installation.grant.as_ref().is_some_and(|facts| facts.connected);
    match problem {
        Some(problem) => Some(InstallationState::Failing(problem)),
        None => (by_consent && !connected).then_some(InstallationState::NotConnected),
    }
}

/// Whose login it calls with, in the words of the list.
fn login(installation: &Installation) -> Option<&'static str> {
    if installation.personal {
        return Some("each member's own");
    }
    let by_consent = installation::oauth2(&installation.connector)?.flow() == Flow::AuthorizationCode;
    by_consent.then_some("login for all")
}

pub(super) fn host(base_url: &str) -> String {
    let url = url::Url::parse(base_url).ok();
    let host = url.as_ref().and_then(|url| Some((url.host_str()?, url.port())));
    match host {
        Some((host, Some(port))) => format!("{host}:{port}"),
        Some((host, None)) => host.to_owned(),
        None => base_url.to_owned(),
    }
}

async fn detail(
    app: &App,
    at: &Workspace,
    installation: &Installation,
    filter: &Filter,
) -> Result<InstallationPage> {
    // Whatever led here: the page is for those who may see it.
    at.member.require(Permission::Connectors)?;
    let now = OffsetDateTime::now_utc();
    let tools = installation.tools();
    let shown = |tool: &installation::ToolRow| {
        let class = matches!(filter.access.as_str(), "" | "all") || tool.access.as_str() == filter.access;
        let text = format!("{} {} {}", tool.public_name, tool.title, tool.description).to_lowercase();
        class && text.contains(&filter.q.trim().to_lowercase())
    };
    let newer = app.installations.has_newer(&app.private, &at.member, installation).await?;
    let found: Vec<_> = tools.iter().filter(|tool| shown(tool)).cloned().collect();
    let more = found.len().saturating_sub(SHOWN);
    let entry = app.catalog.get(&installation.connector.name).filter(|_| installation.built_in);
    let (fields, help) = match entry {
        Some(entry) => (credential_fields(&entry.compiled.setup), help(&entry.compiled.setup, true)),
        None => {
            let setup = app.private.setup(&at.member, installation).await?;
            (own_fields(installation, &setup), help(&setup, false))
        }
    };
    let fields: Vec<_> =
        fields.into_iter().filter(|field| installation.is_of_workspace(&field.name)).collect();
    let faring = app.upstreams.faring(at.tenant.id, Some(installation.id)).await?;
    Ok(InstallationPage {
        shell: at.shell(&installation.name, Nav::Connectors).await?,
        id: installation.id.to_string(),
        row: servers::row(installation, faring.get(&installation.id), &app.hub.nodes()),
        base_url: Field::of(installation.base_url.clone()),
        added: Moment::new(installation.created_at, now),
        added_by: person(&installation.created_by, &installation.created_by_email),
        credentials: facts(installation, &fields, now),
        connection: connect::connection(app, installation, now),
        accounts: connections::accounts(app, at, installation).await?,
        provider: connect::provider(app, at, installation).await?,
        credential_fields: fields,
        headers: servers::of_installation(installation),
        help,
        classes: classes(&tools, &filter.access),
        consequences: consequences(installation, tools.iter().filter(|tool| tool.enabled).count()),
        tools: found.into_iter().take(SHOWN).map(|tool| tool_row(at, installation, tool)).collect(),
        more,
        newer,
        bare_names: installation.bare_names,
        timeout: Field::of(match installation.timeout_seconds {
            0 => String::new(),
            seconds => seconds.to_string(),
        }),
        server: match installation.connector.server {
            Some(_) => Some(servers::facts(&app.upstreams.get(&at.member, installation.id).await?)),
            None => None,
        },
        own: installation.private.map(|id| id.to_string()),
        q: filter.q.clone(),
        exposure: exposure::view(&app.installations, at, installation).await?,
        report: None,
        confirm: Field::empty(),
        prove: at.prove(&format!("/connectors/{}", installation.id)),
    })
}

/// Fields for a connector that is not in the catalog, as its text describes them; named as its auth names them, where the text
/// cannot be read any more.
pub(super) fn own_fields(installation: &Installation, setup: &Setup) -> Vec<CredentialField> {
    if !setup.credentials.is_empty() {
        return credential_fields(setup);
    }
    let required = installation::required_credentials(&installation.connector);
    let header = |name: &str| installation::shown_in_header(&installation.connector, name);
    let field = |name: String| CredentialField {
        label: header(&name).map_or_else(|| label(&name), str::to_owned),
        help: String::new(),
        secret: true,
        required: required.contains(&name),
        field: Field::empty(),
        name,
    };
    installation::known_credentials(&installation.connector).into_iter().map(field).collect()
}

/// A logical name as people write it: `Access token`.
fn label(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| {
        format!("{}{}", first.to_uppercase(), chars.as_str().replace('_', " "))
    })
}

fn facts(
    installation: &Installation,
    fields: &[CredentialField],
    now: OffsetDateTime,
) -> Vec<CredentialFact> {
    let label = |name: &str| {
        fields.iter().find(|f| f.name == name).map_or_else(|| name.to_owned(), |f| f.label.clone())
    };
    let fact = |c: &crate::credentials::CredentialFacts| CredentialFact {
        label: label(&c.name),
        last4: c.last4.clone(),
        added: Moment::new(c.set_at, now),
        by: person(&c.set_by, &c.set_by_email),
    };
    installation.credentials.iter().map(fact).collect()
}

fn classes(tools: &[installation::ToolRow], current: &str) -> Vec<Choice> {
    let current = if current.is_empty() { "all" } else { current };
    let counts = AccessCounts::count(tools.iter().map(|tool| tool.access.as_str()));
    let all = Choice::new("all", format!("All {}", tools.len()), current);
    let each = counts.of.into_iter().map(|(access, count)| {
        let label = format!("{} {count}", access.word);
        Choice::new(access.word, label, current)
    });
    std::iter::once(all).chain(each).collect()
}

fn consequences(installation: &Installation, on: usize) -> Vec<String> {
    let mut sentences = vec![match on {
        0 => "None of its tools is on, so that no client loses one.".to_owned(),
        1 => "1 tool disappears from every member's client.".to_owned(),
        n => format!("{n} tools disappear from every member's client."),
    }];
    if !installation.credentials.is_empty() {
        sentences.push("Its credential is deleted and cannot be brought back.".to_owned());
    }
    sentences.push("Its past calls stay in the audit log.".to_owned());
    sentences
}

pub(super) fn tool_row(at: &Workspace, installation: &Installation, tool: installation::ToolRow) -> ToolRow {
    let change: String = url::form_urlencoded::byte_serialize(tool.tool.as_bytes()).collect();
    ToolRow {
        change: at.path(&format!("/connectors/{}/override?tool={change}", installation.id)),
        action: at.path(&format!("/connectors/{}/tools", installation.id)),
        csrf: at.visitor.csrf(),
        name: tool.tool,
        full_name: tool.public_name,
        title: tool.title,
        description: tool.description,
        access: Access::new(tool.access.as_str()),
        enabled: tool.enabled,
        hidden: tool.hidden,
        in_list: tool.in_list,
        may_promote: installation.exposure == Exposure::Code && !tool.hidden,
        overridden: tool.overridden,
        promote: at.path(&format!("/connectors/{}/promote", installation.id)),
    }
}
