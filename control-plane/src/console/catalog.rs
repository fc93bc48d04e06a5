//! The catalog, and enabling a connector from it.

use std::collections::BTreeSet;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use toolmesh_proto::access::Access as AccessClass;
use toolmesh_proto::v1;

use super::App;
use super::connect::redirect_uri;
use super::exposure;
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::Workspace;
use super::view::{
    Access, AccessCounts, CatalogPage, Choice, ConnectorCard, ConnectorPage, CredentialField, EnablePage,
    Field, InstalledAs, Nav, SetupHelp, Shell, Tabs, TestReport, ToolGroup, ToolInfo,
};
use crate::accounts::members::Permission;
use crate::connectors::catalog::CatalogEntry;
use crate::connectors::dadl::Setup;
use crate::connectors::{Install, Installation, Source};
use crate::error::{Error, Result};

#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
    #[serde(default)]
    category: String,
}

/// The connector in the path.
#[derive(Deserialize)]
pub(super) struct ConnectorPath {
    pub connector: String,
}

pub(super) async fn list(State(app): State<App>, at: Workspace, Query(search): Query<Search>) -> Page {
    at.member.require(Permission::Connectors)?;
    let installed = app.installations.list(at.tenant.id).await?;
    let found = app.catalog.search(&search.q).into_iter();
    let found = found.filter(|entry| search.category.is_empty() || entry.category == search.category);
    let each = app.catalog.categories().into_iter().map(|c| Choice::new(c, c, &search.category));
    page(&CatalogPage {
        shell: at.shell("Catalog", Nav::Catalog).await?,
        tabs: Tabs::catalog(at.path(""), "/catalog"),
        cards: found.map(|entry| card(entry, &installed)).collect(),
        categories: std::iter::once(Choice::new("", "All", &search.category)).chain(each).collect(),
        q: search.q,
        category: search.category,
    })
}

pub(super) async fn show(State(app): State<App>, at: Workspace, Path(path): Path<ConnectorPath>) -> Page {
    at.member.require(Permission::Connectors)?;
    let entry = entry(&app, &path.connector)?;
    let installed = app.installations.list(at.tenant.id).await?;
    let connector = &entry.compiled.connector;
    page(&ConnectorPage {
        shell: at.shell(&entry.title, Nav::Catalog).await?,
        connector: card(entry, &installed),
        groups: groups(connector, &entry.compiled.default_off),
        prompts: entry.compiled.examples.iter().map(|example| example.description.clone()).collect(),
        version: entry.version(),
        category: entry.category.clone(),
        docs_url: docs_url(&entry.compiled.setup),
        credentials: credential_fields(&entry.compiled.setup),
        help: help(&entry.compiled.setup, true),
    })
}

pub(super) async fn enable_form(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<ConnectorPath>,
) -> Page {
    let entry = entry(&app, &path.connector)?;
    page(&enable_page(&app, &at, entry, &base(&at, entry)).await?)
}

/// Where the pages of a built-in connector are.
pub(super) fn base(at: &Workspace, entry: &CatalogEntry) -> String {
    at.path(&format!("/catalog/{}", entry.name))
}

/// The form that enables a connector whose pages are at `base`.
pub(super) async fn enable_page(
    app: &App,
    at: &Workspace,
    entry: &CatalogEntry,
    base: &str,
) -> Result<EnablePage> {
    at.member.require(Permission::Connectors)?;
    let installed = app.installations.list(at.tenant.id).await?;
    let shell = at.shell(&format!("Enable {}", entry.title), Nav::Catalog).await?;
    let name = free_name(entry, &installed);
    let mut view = form(shell, entry, base, &installed, name, &entry.compiled.connector.base_url);
    view.redirect_uri = redirect_uri(app, &entry.compiled.connector);
    Ok(view)
}

pub(super) async fn enable(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<ConnectorPath>,
    fields: Fields,
) -> Page {
    let entry = entry(&app, &path.connector)?;
    let made = app.installations.install(&at.member, install(&entry.name, &fields)).await;
    enabled(&app, &at, entry, &base(&at, entry), &fields, made).await
}

/// Where to go when a connector was enabled, or its form again.
pub(super) async fn enabled(
    app: &App,
    at: &Workspace,
    entry: &CatalogEntry,
    base: &str,
    fields: &Fields,
    made: Result<Installation>,
) -> Page {
    match made {
        Ok(made) => {
            at.flash(exposure::enabled(&entry.title, &made, redirect_uri(app, &made.connector).is_some()))
                .await?;
            see_other(&at.path(&format!("/connectors/{}", made.id)))
        }
        Err(Error::Field { field, message }) => {
            let refused = Refused { field, message };
            let form = again(app, at, entry, base, fields, Some(refused), None).await?;
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &form)
        }
        Err(error) => Err(error.into()),
    }
}

/// What was typed into the form.
pub(super) fn install(connector: &str, fields: &Fields) -> Install {
    Install {
        source: Source::BuiltIn(connector.to_owned()),
        name: fields.get("name").to_owned(),
        base_url: fields.get("base_url").to_owned(),
        credentials: fields.secrets("credential."),
    }
}

/// A field that has to be mended.
pub(super) struct Refused {
    pub field: &'static str,
    pub message: String,
}

/// The form again, with what was typed; secrets are never printed back.
pub(super) async fn again(
    app: &App,
    at: &Workspace,
    entry: &CatalogEntry,
    base: &str,
    fields: &Fields,
    refused: Option<Refused>,
    report: Option<TestReport>,
) -> Result<EnablePage> {
    let installed = app.installations.list(at.tenant.id).await?;
    let shell = at.shell(&format!("Enable {}", entry.title), Nav::Catalog).await?;
    let mut form =
        form(shell, entry, base, &installed, fields.get("name").to_owned(), fields.get("base_url"));
    form.report = report;
    form.redirect_uri = redirect_uri(app, &entry.compiled.connector);
    if let Some(Refused { field, message }) = refused {
        match field {
            "name" => form.name = form.name.refused(message),
            "base_url" => form.base_url = form.base_url.refused(message),
            _ => match form.credentials.first_mut() {
                Some(first) => first.field = Field::empty().refused(message),
                None => form.error = Some(message),
            },
        }
    }
    Ok(form)
}

fn form(
    shell: Shell,
    entry: &CatalogEntry,
    base: &str,
    installed: &[Installation],
    name: String,
    base_url: &str,
) -> EnablePage {
    EnablePage {
        shell,
        base: base.to_owned(),
        connector: card(entry, installed),
        name: Field::of(name),
        base_url: Field::of(base_url),
        credentials: credential_fields(&entry.compiled.setup),
        help: help(&entry.compiled.setup, !entry.category.is_empty()),
        redirect_uri: None,
        error: None,
        report: None,
    }
}

pub(super) fn entry<'a>(app: &'a App, name: &str) -> Result<&'a CatalogEntry> {
    app.catalog.get(name).ok_or(Error::NotFound)
}

pub(super) fn credential_fields(setup: &Setup) -> Vec<CredentialField> {
    let field = |c: &crate::connectors::dadl::CredentialField| CredentialField {
        name: c.name.clone(),
        label: c.label.clone(),
        help: c.help.clone(),
        secret: c.secret,
        required: !c.optional,
        field: Field::empty(),
    };
    setup.credentials.iter().map(field).collect()
}

fn docs_url(setup: &Setup) -> Option<String> {
    Some(setup.docs_url.clone()).filter(|url| !url.is_empty())
}

/// `ours`: the catalog's own, whose address is the page where the credential is.
pub(super) fn help(setup: &Setup, ours: bool) -> SetupHelp {
    SetupHelp {
        steps: setup.steps.clone(),
        url: docs_url(setup),
        scopes: setup.required_scopes.clone(),
        more_scopes: setup.optional_scopes.clone(),
        notes: setup.notes.clone(),
        documentation: !ours,
    }
}

fn card(entry: &CatalogEntry, installed: &[Installation]) -> ConnectorCard {
    let connector = &entry.compiled.connector;
    let ours = installed.iter().filter(|i| i.built_in && i.connector.name == connector.name);
    // What composites alone call is nothing that anybody chooses.
    let shown = || connector.tools.iter().filter(|tool| !tool.hidden);
    ConnectorCard {
        name: entry.name.clone(),
        title: entry.title.clone(),
        summary: entry.summary.clone(),
        category: entry.category.clone(),
        version: entry.version(),
        logo: entry.logo.clone(),
        counts: AccessCounts::count(shown().map(|tool| tool.access.as_str())),
        off: shown().filter(|tool| entry.compiled.default_off.contains(&tool.name)).count(),
        hosts: entry.hosts.clone(),
        auth: auth_words(connector).to_owned(),
        installed: ours.map(|i| InstalledAs { id: i.id.to_string(), name: i.name.clone() }).collect(),
    }
}

pub(super) fn auth_words(connector: &v1::Connector) -> &'static str {
    use v1::auth::Kind;
    if connector.auth.as_ref().is_some_and(|auth| auth.optional) {
        return "Credential if the server asks for one";
    }
    match connector.auth.as_ref().and_then(|auth| auth.kind.as_ref()) {
        Some(Kind::Bearer(_)) => "Access token",
        Some(Kind::Basic(_)) => "User name and password",
        Some(Kind::ApiKey(_)) => "API key",
        Some(Kind::Oauth2(auth)) => match auth.flow() {
            v1::o_auth2_auth::Flow::AuthorizationCode => "Log in at the provider (OAuth 2)",
            v1::o_auth2_auth::Flow::JwtBearer => "Service account",
            _ => "OAuth 2 client",
        },
        Some(Kind::Session(_)) => "User name and password (login)",
        Some(Kind::None(_)) | None => "No credential needed",
    }
}

/// Tools of one class that a page shows.
const SHOWN: usize = 200;

/// The tools by access class, the harmless first.
pub(super) fn groups(connector: &v1::Connector, off: &BTreeSet<String>) -> Vec<ToolGroup> {
    let mut groups: Vec<(AccessClass, ToolGroup)> = Vec::new();
    // What is there for composites alone is nothing that a person could switch or call.
    for tool in connector.tools.iter().filter(|tool| !tool.hidden) {
        let class = AccessClass::parse(&tool.access);
        let info = ToolInfo {
            name: tool.name.clone(),
            title: tool.title.clone(),
            description: tool.description.clone(),
            off: off.contains(&tool.name),
        };
        match groups.iter_mut().find(|(known, _)| *known == class) {
            Some((_, group)) => {
                group.all += 1;
                if group.tools.len() < SHOWN {
                    group.tools.push(info);
                }
            }
            None => groups.push((
                class,
                ToolGroup { access: Access::new(tool.access.clone()), tools: vec![info], all: 1 },
            )),
        }
    }
    groups.sort_by(|(a, _), (b, _)| a.cmp(b));
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The connector's own name, or the first free one with a number.
fn free_name(entry: &CatalogEntry, installed: &[Installation]) -> String {
    let taken = |name: &str| installed.iter().any(|i| i.name == name);
    let numbered = (2..).map(|n| format!("{}-{n}", entry.name));
    std::iter::once(entry.name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}
