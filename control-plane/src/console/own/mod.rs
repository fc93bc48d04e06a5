//! Connectors of the workspace's own: the list, one with its versions, enabling and deleting it. Writing and importing them
//! stand in `edit` and `import`.

pub(super) mod edit;
pub(super) mod import;
pub(super) mod present;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::ids::{ImportId, PrivateConnectorId};

use self::present::{lines_between, lint};
use super::App;
use super::catalog::{self, Refused};
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::{Workspace, person};
use super::tests_of_connections as tests;
use super::view::{
    Field, Moment, Nav, OwnConnectorPage, OwnConnectorRow, OwnListPage, OwnStanding, OwnVersionPage,
    OwnVersionRow, Tabs,
};
use crate::accounts::members::Permission;
use crate::connectors::catalog::CatalogEntry;
use crate::connectors::changes::Changes;
use crate::connectors::private::{Opened, PrivateConnector, Standing, Version};
use crate::connectors::{Install, Source};
use crate::error::{Error, Result};

/// What a path below `/own` names.
#[derive(Deserialize)]
pub(super) struct OwnPath {
    #[serde(default)]
    id: String,
    #[serde(default)]
    import: String,
    #[serde(default)]
    number: String,
}

impl OwnPath {
    /// What is no id belongs to no connector.
    pub(super) fn id(&self) -> Result<PrivateConnectorId> {
        self.id.parse().map_err(|_| Error::NotFound)
    }

    pub(super) fn import(&self) -> Result<ImportId> {
        self.import.parse().map_err(|_| Error::NotFound)
    }

    fn number(&self) -> Result<i32> {
        self.number.parse().map_err(|_| Error::NotFound)
    }
}

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    let now = OffsetDateTime::now_utc();
    let rows = app.private.list(&at.member).await?.iter().map(|connector| row(connector, now)).collect();
    let shell = at.shell("Your own connectors", Nav::Catalog).await?;
    page(&OwnListPage { shell, tabs: Tabs::catalog(at.path(""), "/own"), rows })
}

pub(super) async fn show(State(app): State<App>, at: Workspace, Path(path): Path<OwnPath>) -> Page {
    page(&view(&app, &at, path.id()?, Field::empty()).await?)
}

pub(super) async fn delete(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<OwnPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    let (connector, ..) = app.private.get(&at.member, id).await?;
    let typed = fields.get("confirm").trim();
    let refused = if typed == connector.name {
        match app.private.delete(&at.member, id).await {
            Ok(()) => {
                at.flash(format!("{} is deleted.", connector.name)).await?;
                return see_other(&at.path("/own"));
            }
            Err(Error::Refused(message)) => message,
            Err(error) => return Err(error.into()),
        }
    } else {
        format!("Type {} to confirm.", connector.name)
    };
    let confirm = Field::of(typed).refused(refused);
    with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &at, id, confirm).await?)
}

/// One saved version: its text, and what is different from the one before.
pub(super) async fn version(State(app): State<App>, at: Workspace, Path(path): Path<OwnPath>) -> Page {
    let (id, number) = (path.id()?, path.number()?);
    let (connector, versions, _) = app.private.get(&at.member, id).await?;
    let (version, source) = app.private.source(&at.member, id, Some(number)).await?;
    let before = versions.iter().map(|v| v.number).find(|n| *n < number);
    let (mut changes, mut lines) = (None, None);
    if let Some(before) = before {
        let (_, old) = app.private.source(&at.member, id, Some(before)).await?;
        lines = Some(lines_between(&old, &source));
        let old = app.private.check(old, "connector.dadl").await?;
        let new = app.private.check(source.clone(), "connector.dadl").await?;
        if let (Ok(old), Ok(new)) = (old, new) {
            changes = Some(present::changes(&Changes::between(&old.connector, &new.connector)));
        }
    }
    let now = OffsetDateTime::now_utc();
    let title = format!("{} {}", connector.title, version_label(number));
    page(&OwnVersionPage {
        shell: at.shell(&title, Nav::Catalog).await?,
        connector: row(&connector, now),
        version: version_row(&version, now),
        before,
        changes,
        lines,
        source,
    })
}

pub(super) async fn enable_form(State(app): State<App>, at: Workspace, Path(path): Path<OwnPath>) -> Page {
    let id = path.id()?;
    let opened = app.private.open(&at.member, id, None).await?;
    let entry = entry(&opened);
    page(&catalog::enable_page(&app, &at, &entry, &at.path(&format!("/own/{id}"))).await?)
}

pub(super) async fn enable(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<OwnPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    let opened = app.private.open(&at.member, id, None).await?;
    let entry = entry(&opened);
    let made = app.installations.install(&at.member, install(id, opened, &fields)).await;
    catalog::enabled(&app, &at, &entry, &at.path(&format!("/own/{id}")), &fields, made).await
}

/// The test in the form that enables a connector.
pub(super) async fn test(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<OwnPath>,
    headers: HeaderMap,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    let opened = app.private.open(&at.member, id, None).await?;
    let entry = entry(&opened);
    let (report, refused): (_, Option<Refused>) =
        tests::of_draft(&app, &at, install(id, opened, &fields)).await?;
    if headers.contains_key("hx-request") {
        return page(&report);
    }
    let base = at.path(&format!("/own/{id}"));
    page(&catalog::again(&app, &at, &entry, &base, &fields, refused, Some(report)).await?)
}

fn install(id: PrivateConnectorId, opened: Opened, fields: &Fields) -> Install {
    Install {
        source: Source::Private { id, opened: Box::new(opened) },
        name: fields.get("name").to_owned(),
        base_url: fields.get("base_url").to_owned(),
        credentials: fields.secrets("credential."),
    }
}

/// The connector as the catalog would have it.
pub(super) fn entry(opened: &Opened) -> CatalogEntry {
    CatalogEntry::of_own(&opened.compiled, &opened.source)
}

async fn view(app: &App, at: &Workspace, id: PrivateConnectorId, confirm: Field) -> Result<OwnConnectorPage> {
    at.member.require(Permission::Connectors)?;
    let now = OffsetDateTime::now_utc();
    let (connector, versions, standing) = app.private.get(&at.member, id).await?;
    let (_, source) = app.private.source(&at.member, id, None).await?;
    let checked = app.private.check(source.clone(), "connector.dadl").await?;
    let lint = lint(&checked, &format!("{}/edit", at.path(&format!("/own/{id}"))));
    let compiled = checked.ok();
    Ok(OwnConnectorPage {
        shell: at.shell(&connector.title, Nav::Catalog).await?,
        connector: row(&connector, now),
        groups: compiled.as_ref().map(|c| catalog::groups(&c.connector, &c.default_off)).unwrap_or_default(),
        hosts: compiled.as_ref().map(crate::connectors::dadl::Compiled::hosts).unwrap_or_default(),
        auth: compiled.as_ref().map_or("", |c| catalog::auth_words(&c.connector)).to_owned(),
        versions: versions.iter().map(|version| version_row(version, now)).collect(),
        standing: standing.iter().map(|place| stands(place, &connector)).collect(),
        lint,
        confirm,
    })
}

/// What people call a version.
fn version_label(number: i32) -> String {
    format!("Version {number}")
}

fn row(connector: &PrivateConnector, now: OffsetDateTime) -> OwnConnectorRow {
    OwnConnectorRow {
        id: connector.id.to_string(),
        name: connector.name.clone(),
        title: connector.title.clone(),
        version: version_label(connector.number),
        number: connector.number,
        tools: usize::try_from(connector.tools).unwrap_or_default(),
        installations: usize::try_from(connector.installations).unwrap_or_default(),
        saved: Moment::new(connector.saved_at, now),
        by: person(&connector.saved_by, &connector.saved_by_email),
    }
}

fn version_row(version: &Version, now: OffsetDateTime) -> OwnVersionRow {
    OwnVersionRow {
        number: version.number,
        label: version_label(version.number),
        tools: usize::try_from(version.tools).unwrap_or_default(),
        saved: Moment::new(version.saved_at, now),
        by: person(&version.saved_by, &version.saved_by_email),
    }
}

fn stands(place: &Standing, connector: &PrivateConnector) -> OwnStanding {
    OwnStanding {
        id: place.id.to_string(),
        name: place.name.clone(),
        behind: place.connector_hash != connector.hash,
    }
}
