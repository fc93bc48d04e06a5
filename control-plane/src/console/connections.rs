//! Connections: the accounts that members connect for themselves, and the choice whether they do.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use time::OffsetDateTime;
use toolmesh_proto::ids::InstallationId;

use super::App;
use super::catalog::credential_fields;
use super::connect::{begin, given_back, own_problem};
use super::forms::Fields;
use super::installations::{InstallationPath, host, own_fields};
use super::respond::{Page, page, see_other, with_status};
use super::session::Workspace;
use super::view::{
    AccountsView, Choice, ConnectionsPage, CredentialField, Field, Moment, Nav, OwnConnection,
    OwnConnectionPage,
};
use crate::accounts::members::Permission;
use crate::connectors::Installation;
use crate::connectors::connections::{Connection, Way, way};
use crate::connectors::installation::entered_by_members;
use crate::error::{Error, Result};

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    let now = OffsetDateTime::now_utc();
    let rows = app.connections.list(&at.member).await?.iter().map(|one| row(one, now)).collect();
    page(&ConnectionsPage { shell: at.shell("Connections", Nav::Connections).await?, rows })
}

pub(super) async fn show(State(app): State<App>, at: Workspace, Path(path): Path<InstallationPath>) -> Page {
    page(&detail(&app, &at, path.id()?).await?)
}

/// Off to the provider, for an account of one's own.
pub(super) async fn connect(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    _fields: Fields,
) -> Page {
    let id = path.id()?;
    let here = at.path(&format!("/connections/{id}"));
    at.visitor.require_recent(&here)?;
    let connection = app.connections.get(&at.member, id).await?;
    begin(&app, &at, &connection.installation, here).await
}

/// Keeps what somebody calls with.
pub(super) async fn enter(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    let here = at.path(&format!("/connections/{id}"));
    at.visitor.require_recent(&here)?;
    match app.connections.enter(&at.member, id, fields.secrets("credential.")).await {
        Ok(()) => {
            if at.member.require(Permission::Connectors).is_ok() {
                app.upstreams.reached_anew(at.tenant.id, id).await?;
            }
            at.flash("It is connected. Your calls use it from now on.").await?;
            see_other(&here)
        }
        Err(Error::Field { message, .. }) => {
            let mut view = detail(&app, &at, id).await?;
            if let Some(first) = view.fields.first_mut() {
                first.field = Field::empty().refused(message);
            }
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

/// Lets one's service accounts use it, or no longer.
pub(super) async fn lend(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let (id, lent) = (path.id()?, fields.get("lent") == "true");
    app.connections.lend(&at.member, id, lent).await?;
    at.flash(if lent {
        "Service accounts that you made use this connection from now on."
    } else {
        "Only you use this connection from now on."
    })
    .await?;
    see_other(&at.path(&format!("/connections/{id}")))
}

pub(super) async fn disconnect(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    _fields: Fields,
) -> Page {
    let id = path.id()?;
    let here = at.path(&format!("/connections/{id}"));
    at.visitor.require_recent(&here)?;
    let back = app.connections.disconnect(&at.member, id).await?;
    at.flash(given_back(back)).await?;
    see_other(&here)
}

/// Whose account an installation uses.
pub(super) async fn set_accounts(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    at.member.require(Permission::Connectors)?;
    let id = path.id()?;
    let here = at.path(&format!("/connectors/{id}"));
    at.visitor.require_recent(&here)?;
    let personal = fields.get("accounts") == "personal";
    app.connections.set_personal(&at.member, id, personal).await?;
    at.flash(if personal {
        "Each member connects an account of their own. They find it under Connections."
    } else {
        "Calls of all members use the workspace's account."
    })
    .await?;
    see_other(&format!("{here}#accounts"))
}

/// The choice, where there is one.
pub(super) async fn accounts(
    app: &App,
    at: &Workspace,
    installation: &Installation,
) -> Result<Option<AccountsView>> {
    if way(&installation.connector).is_none() {
        return Ok(None);
    }
    let current = if installation.personal { "personal" } else { "workspace" };
    let connected =
        if installation.personal { app.connections.connected(&at.member, installation.id).await? } else { 0 };
    Ok(Some(AccountsView {
        choices: vec![
            Choice::new("workspace", "The workspace's", current),
            Choice::new("personal", "Each member's own", current),
        ],
        personal: installation.personal,
        connected,
    }))
}

async fn detail(app: &App, at: &Workspace, id: InstallationId) -> Result<OwnConnectionPage> {
    let connection = app.connections.get(&at.member, id).await?;
    let installation = &connection.installation;
    let fields = match connection.way {
        Way::Consent => Vec::new(),
        Way::Entry => entry_fields(app, at, installation).await?,
    };
    let label = |name: &str| {
        fields.iter().find(|field| field.name == name).map_or_else(|| name.to_owned(), |f| f.label.clone())
    };
    let entered = connection.entered.iter().map(|one| (label(&one.name), one.last4.clone())).collect();
    Ok(OwnConnectionPage {
        shell: at.shell(&installation.connector.title, Nav::Connections).await?,
        of: row(&connection, OffsetDateTime::now_utc()),
        prove: at.prove(&format!("/connections/{id}")),
        entered,
        fields,
    })
}

async fn entry_fields(
    app: &App,
    at: &Workspace,
    installation: &Installation,
) -> Result<Vec<CredentialField>> {
    let all = match app.catalog.get(&installation.connector.name).filter(|_| installation.built_in) {
        Some(entry) => credential_fields(&entry.compiled.setup),
        None => own_fields(installation, &app.private.setup(&at.member, installation).await?),
    };
    let own = entered_by_members(&installation.connector);
    Ok(all.into_iter().filter(|field| own.contains(&field.name)).collect())
}

fn row(connection: &Connection, now: OffsetDateTime) -> OwnConnection {
    let (installation, facts) = (&connection.installation, connection.facts.as_ref());
    let moment = |at: Option<OffsetDateTime>| at.map(|at| Moment::new(at, now));
    let scopes = facts.map(|facts| facts.scope.split([' ', ',']).filter(|s| !s.is_empty()));
    OwnConnection {
        id: installation.id.to_string(),
        name: installation.name.clone(),
        connector: installation.connector.name.clone(),
        title: installation.connector.title.clone(),
        host: host(&installation.base_url),
        connected: connection.is_connected(),
        problem: facts.and_then(own_problem),
        account: facts.map(|facts| facts.account.clone()).unwrap_or_default(),
        at: facts.and_then(|facts| moment(facts.connected_at)),
        expires: facts.and_then(|facts| moment(facts.expires_at)),
        renewable: facts.is_some_and(|facts| facts.renewable),
        scopes: scopes.into_iter().flatten().map(str::to_owned).collect(),
        lent: facts.is_some_and(|facts| facts.lent),
    }
}
