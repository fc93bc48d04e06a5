//! Other MCP servers: adding one, and deciding what of it is in use.

mod headers;
mod present;

use axum::extract::{Path, State};
use axum::http::StatusCode;

pub(super) use self::headers::{of_installation, set_headers};
pub(super) use self::present::{facts, row};
use self::present::{groups, refused, used};
use super::App;
use super::forms::Fields;
use super::installations::InstallationPath;
use super::respond::{Page, page, see_other, with_status};
use super::session::Workspace;
use super::view::{Choice, Field, Nav, ServerNewPage, ServerPage};
use crate::accounts::members::Permission;
use crate::connectors::upstream::definitions::Kind;
use crate::connectors::upstream::{
    Authentication, Choice as Picked, Decided, Looked, MOST_HEADERS, NewServer, review, waiting,
};
use crate::error::{Error, Result};

/// Ways in which a server wants to know who asks.
const AUTHENTICATION: [(&str, &str); 5] = [
    ("none", "None"),
    ("login", "Login, for the workspace"),
    ("own-login", "Login, each member their own"),
    ("bearer", "Bearer token"),
    ("header", "Custom headers"),
];

pub(super) async fn new_form(State(_app): State<App>, at: Workspace) -> Page {
    at.member.require(Permission::Connectors)?;
    page(&new_view(&at, "none").await?)
}

async fn new_view(at: &Workspace, authentication: &str) -> Result<ServerNewPage> {
    Ok(ServerNewPage {
        shell: at.shell("Add an MCP server", Nav::Catalog).await?,
        name: Field::empty(),
        url: Field::empty(),
        authentication: AUTHENTICATION.map(|(value, label)| Choice::new(value, label, authentication)).into(),
        header: Field::empty(),
        credential: Field::empty(),
        more: headers::rows(&[], MOST_HEADERS).split_off(1),
    })
}

pub(super) async fn create(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    at.member.require(Permission::Connectors)?;
    let way = fields.get("authentication");
    let authentication = match way {
        "bearer" => Authentication::Bearer(fields.secret("credential")),
        "header" => Authentication::Headers(headers::typed(&fields)),
        "login" => Authentication::Login { personal: false },
        "own-login" => Authentication::Login { personal: true },
        _ => Authentication::None,
    };
    let new =
        NewServer { name: fields.get("name").to_owned(), url: fields.get("url").to_owned(), authentication };
    match app.upstreams.add(&at.member, new).await {
        Ok(id) => {
            // What asks for a login is looked at when somebody has logged in.
            let to = match way {
                "login" => "connectors",
                "own-login" => "connections",
                _ => "servers",
            };
            see_other(&at.path(&format!("/{to}/{id}")))
        }
        Err(Error::Field { field, message }) => {
            let way = if way.is_empty() { "none" } else { way };
            let mut view = new_view(&at, way).await?;
            view.name.value = fields.get("name").to_owned();
            view.url.value = fields.get("url").to_owned();
            view.header.value = fields.get("header").to_owned();
            for row in &mut view.more {
                row.header.value = fields.get(&row.header_key).to_owned();
            }
            let wrong = match field {
                "name" => &mut view.name,
                "header" => &mut view.header,
                // Without a field for it, the address is what asks for one.
                "credential" if way != "none" => &mut view.credential,
                _ => headers::field(&mut view.more, field).unwrap_or(&mut view.url),
            };
            wrong.error = Some(message);
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn show(State(app): State<App>, at: Workspace, Path(path): Path<InstallationPath>) -> Page {
    page(&view(&app, &at, &path, None).await?)
}

async fn view(
    app: &App,
    at: &Workspace,
    path: &InstallationPath,
    error: Option<String>,
) -> Result<ServerPage> {
    at.member.require(Permission::Connectors)?;
    let installation = app.installations.get(at.tenant.id, path.id()?).await?;
    let server = app.upstreams.get(&at.member, installation.id).await?;
    let items = review::items(&server.known);
    Ok(ServerPage {
        shell: at.shell(&format!("What {} offers", installation.name), Nav::Connectors).await?,
        id: installation.id.to_string(),
        name: installation.name,
        url: installation.base_url,
        waiting: groups(&items, &server),
        refused: refused(&items, &server),
        used: used(&server),
        tools: installation.connector.tools.len(),
        facts: facts(&server),
        error,
    })
}

/// Carries out what was decided about what was picked.
pub(super) async fn decide(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    let (decided, names) = match fields.get("do") {
        "begin" => (Decided::Begin, "pick"),
        "approve" => (Decided::Approve, "pick"),
        "approve_all" => (Decided::Approve, "shown"),
        "refuse" => (Decided::Refuse, "pick"),
        _ => return Err(Error::NotFound.into()),
    };
    let picked: Vec<Picked> = fields
        .all(names)
        .map(|key| Picked { key: key.to_owned(), access: fields.get(&format!("access.{key}")).to_owned() })
        .collect();
    let any = !picked.is_empty();
    if !any && decided != Decided::Begin {
        let view = view(&app, &at, &path, Some("Pick what you want to decide about.".to_owned())).await?;
        return with_status(StatusCode::UNPROCESSABLE_ENTITY, &view);
    }
    match app.upstreams.decide(&at.member, id, decided, picked).await {
        Ok(count) => {
            at.flash(said(decided, count)).await?;
            let to = if decided == Decided::Begin { "connectors" } else { "servers" };
            see_other(&at.path(&format!("/{to}/{id}")))
        }
        Err(Error::Refused(message)) => {
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &at, &path, Some(message)).await?)
        }
        Err(error) => Err(error.into()),
    }
}

fn said(decided: Decided, count: usize) -> String {
    let they = |one: &str, more: &str| if count == 1 { one.to_owned() } else { format!("{count} {more}") };
    match decided {
        Decided::Begin => "The server is ready: what you picked is on.".to_owned(),
        Decided::Approve => they("It is approved.", "definitions are approved."),
        Decided::Refuse => they("It stays off, as it is now.", "definitions stay off, as they are now."),
    }
}

/// Switches prompts, resources, templates or the instructions.
pub(super) async fn switch(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    let kind = Kind::parse(fields.get("kind")).ok_or(Error::NotFound)?;
    app.upstreams.switch(&at.member, id, kind, fields.get("name"), fields.get("on") == "true").await?;
    see_other(&at.path(&format!("/servers/{id}#used")))
}

/// Looks at the server now.
pub(super) async fn refresh(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    match app.upstreams.refresh(&at.member, id).await? {
        Looked::Well { waiting: 0 } => at.flash("The server offers what it did before.").await?,
        Looked::Well { waiting: 1 } => {
            at.warn("One definition is new or has changed. Look at it below.").await?
        }
        Looked::Well { waiting } => {
            at.warn(format!("{waiting} definitions are new or have changed. Look at them below.")).await?;
        }
        Looked::Failed(why) => at.warn(format!("{why} What was known of the server still holds.")).await?,
        Looked::Busy => at.flash("The server is being looked at right now. Come back in a moment.").await?,
    }
    let server = app.upstreams.get(&at.member, id).await?;
    let from_connector = fields.get("from") == "connector" && waiting(&server.known) == 0;
    let to = if from_connector { "connectors" } else { "servers" };
    see_other(&at.path(&format!("/{to}/{id}")))
}
