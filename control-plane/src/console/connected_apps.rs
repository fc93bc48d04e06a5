//! Connected apps: what members have let in, and ending it.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::ids::{GrantId, UserId};

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::{Workspace, person};
use super::view::{Choice, ConnectedAppsPage, ConnectionRow, EndConnectionsPage, Field, Moment, Nav};
use crate::accounts::members::Permission;
use crate::error::{Error, Result};
use crate::oauth::connections::{Connection, Filter, SHOWN, Stops};
use crate::push::hub::InForce;
use crate::revocations::{Recorded, What};

const LIST: &str = "/connected-apps";

/// The client or person in the URL; neither means everything.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    client: String,
    user: String,
}

impl Asked {
    fn of(fields: &Fields) -> Self {
        Self { client: fields.get("client").to_owned(), user: fields.get("user").to_owned() }
    }

    fn filter(&self) -> Filter {
        // Bytes that the database takes in no text are in no client's id.
        let client = Some(self.client.replace('\0', "")).filter(|client| !client.is_empty());
        Filter { user: self.user.parse().ok(), client }
    }

    fn what(&self) -> Result<What> {
        match (self.client.as_str(), self.user.as_str()) {
            ("", "") => Ok(What::Everything),
            ("", user) => user.parse::<UserId>().map(What::User).map_err(|_| Error::NotFound),
            (client, _) => Ok(What::Client(client.replace('\0', ""))),
        }
    }

    /// The page that asks whether to end this.
    fn end_path(&self) -> String {
        let pairs = [("client", &self.client), ("user", &self.user)];
        let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
        if query.is_empty() { format!("{LIST}/end") } else { format!("{LIST}/end?{query}") }
    }
}

#[derive(Deserialize)]
pub(super) struct GrantPath {
    id: String,
}

pub(super) async fn list(State(app): State<App>, at: Workspace, Query(asked): Query<Asked>) -> Page {
    let manages = at.member.may(Permission::Clients);
    let found = app.oauth.connections(&at.member, &asked.filter()).await?;
    let now = OffsetDateTime::now_utc();
    let mut view = ConnectedAppsPage {
        shell: at.shell("Connected apps", Nav::ConnectedApps).await?,
        manages,
        cut: i64::try_from(found.len()).is_ok_and(|n| n == SHOWN),
        rows: found.into_iter().map(|one| row(&at, one, now)).collect(),
        users: Vec::new(),
        clients: Vec::new(),
        filtered: manages && !(asked.client.is_empty() && asked.user.is_empty()),
        end: at.path(&asked.end_path()),
    };
    if manages {
        let facets = app.oauth.connection_facets(&at.member).await?;
        let users = facets.users.into_iter().map(|(id, name)| Choice::new(id.to_string(), name, &asked.user));
        let clients = facets.clients.into_iter().map(|(id, name)| Choice::new(id, name, &asked.client));
        view.users = std::iter::once(Choice::new("", "Everybody", &asked.user)).chain(users).collect();
        view.clients = std::iter::once(Choice::new("", "All apps", &asked.client)).chain(clients).collect();
    }
    page(&view)
}

/// Ends one connection.
pub(super) async fn revoke(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<GrantPath>,
    _fields: Fields,
) -> Page {
    let id: GrantId = path.id.parse().map_err(|_| Error::NotFound)?;
    let recorded = app.oauth.end(&at.member, &What::Grant(id), false).await?;
    ended(&app, &at, "The app is disconnected.", &recorded).await
}

/// Asks whether to end several connections, and says what stops.
pub(super) async fn end_form(State(app): State<App>, at: Workspace, Query(asked): Query<Asked>) -> Page {
    page(&question(&app, &at, &asked, Field::empty()).await?)
}

pub(super) async fn end(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let asked = Asked::of(&fields);
    let what = asked.what()?;
    at.visitor.require_recent(&at.path(&asked.end_path()))?;
    if what == What::Everything && fields.get("confirm").trim() != at.tenant.slug.as_str() {
        let typed = Field::of(fields.get("confirm")).refused(format!("Type {} here.", at.tenant.slug));
        let view = question(&app, &at, &asked, typed).await?;
        return with_status(StatusCode::UNPROCESSABLE_ENTITY, &view);
    }
    let recorded = app.oauth.end(&at.member, &what, fields.get("api_keys") == "true").await?;
    let said = match recorded.grants {
        1 => "1 connection is ended.".to_owned(),
        n => format!("{n} connections are ended."),
    };
    ended(&app, &at, &said, &recorded).await
}

async fn ended(app: &App, at: &Workspace, said: &str, recorded: &Recorded) -> Page {
    let force = in_force(app, at, recorded).await;
    at.flash(format!("{said} {force}")).await?;
    see_other(&at.path(LIST))
}

/// Says on how many nodes it is in force, which the nodes have a second to answer.
pub(super) async fn in_force(app: &App, at: &Workspace, recorded: &Recorded) -> String {
    let InForce { nodes, of } = app.hub.in_force(at.tenant.id, &recorded.sequences).await;
    match (nodes, of) {
        (_, 0) => "No node is connected; each takes it before it serves again.".to_owned(),
        (nodes, 1) if nodes == of => "In force on 1 of 1 node.".to_owned(),
        (nodes, of) if nodes == of => format!("In force on {nodes} of {of} nodes."),
        (nodes, of) => {
            format!("In force on {nodes} of {of} nodes so far; the others take it as soon as they answer.")
        }
    }
}

fn row(at: &Workspace, one: Connection, now: OffsetDateTime) -> ConnectionRow {
    ConnectionRow {
        host: one.host(),
        id: one.id.to_string(),
        yours: one.user_id == at.user.id,
        person: person(&one.user_name, &one.user_email),
        app: one.client_name,
        scope: one.scope,
        since: Moment::new(one.created_at, now),
        last_used: one.last_used_at.map(|at| Moment::new(at, now)),
    }
}

async fn question(app: &App, at: &Workspace, asked: &Asked, confirm: Field) -> Result<EndConnectionsPage> {
    let what = asked.what()?;
    let stops = app.oauth.what_stops(&at.member, &what).await?;
    let title = match &what {
        What::User(user) if *user == at.user.id => "Disconnect all your apps".to_owned(),
        What::User(_) => format!("Disconnect all apps of {}", stops.name),
        What::Client(_) => format!("Disconnect {} for everybody", stops.name),
        _ => "Disconnect everything".to_owned(),
    };
    let everything = what == What::Everything;
    Ok(EndConnectionsPage {
        shell: at.shell(&title, Nav::ConnectedApps).await?,
        title,
        consequences: consequences(&stops),
        nothing: stops.connections == 0 && !(everything && stops.api_keys > 0),
        api_keys: if everything { stops.api_keys } else { 0 },
        confirm: everything.then_some(confirm),
        prove: at.prove(&asked.end_path()),
        back: at.path(LIST),
        client: asked.client.clone(),
        user: asked.user.clone(),
    })
}

fn consequences(stops: &Stops) -> Vec<String> {
    let count =
        |n: i64, one: &str, many: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {many}") };
    let connections = count(stops.connections, "connection", "connections");
    let people = count(stops.people, "person", "people");
    let apps = match stops.apps.as_slice() {
        [shown @ .., _] if stops.apps.len() > 5 => format!("{} and others", shown.join(", ")),
        all => all.join(", "),
    };
    vec![
        format!("{connections} of {people}: {apps}"),
        "Calls that these apps make from now on, on every node within a second".to_owned(),
        "Streams that are open; calls that only read may still end".to_owned(),
    ]
}
