//! Groups of members.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use toolmesh_proto::ids::{GroupId, UserId};

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::{Workspace, person};
use super::view::{Field, GroupMemberRow, GroupPage, GroupRow, GroupsPage, Nav, Tabs};
use crate::accounts::{groups, members};
use crate::error::{Error, Result};

#[derive(Deserialize)]
pub(super) struct GroupPath {
    id: String,
    #[serde(default)]
    user: String,
}

impl GroupPath {
    fn id(&self) -> Result<GroupId> {
        self.id.parse().map_err(|_| Error::NotFound)
    }

    fn user(&self) -> Result<UserId> {
        self.user.parse().map_err(|_| Error::NotFound)
    }
}

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    page(&list_view(&app, &at, Field::empty()).await?)
}

pub(super) async fn create(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    match groups::create(&app.db, &at.member, fields.get("name")).await {
        Ok(id) => {
            at.flash("The group is made. Choose who is in it.").await?;
            see_other(&at.path(&format!("/groups/{id}")))
        }
        Err(Error::Field { message, .. }) => {
            let name = Field::of(fields.get("name")).refused(message);
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &list_view(&app, &at, name).await?)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn show(State(app): State<App>, at: Workspace, Path(path): Path<GroupPath>) -> Page {
    page(&view(&app, &at, path.id()?).await?)
}

pub(super) async fn change(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<GroupPath>,
    fields: Fields,
) -> Page {
    let (id, name, external) = (path.id()?, fields.get("name"), fields.get("external_name"));
    match groups::change(&app.db, &at.member, id, name, external).await {
        Ok(()) => {
            at.flash("The group is saved.").await?;
            see_other(&at.path(&format!("/groups/{id}")))
        }
        Err(Error::Field { field, message }) => {
            let mut form = view(&app, &at, id).await?;
            (form.name, form.external_name) = (Field::of(name), Field::of(external));
            let wrong = if field == "name" { &mut form.name } else { &mut form.external_name };
            wrong.error = Some(message);
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &form)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn delete(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<GroupPath>,
    _fields: Fields,
) -> Page {
    groups::delete(&app.db, &at.member, path.id()?).await?;
    at.flash("The group is deleted. Its members are still members of the workspace.").await?;
    see_other(&at.path("/groups"))
}

/// Adds everybody whose box is ticked.
pub(super) async fn add(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<GroupPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    let users: std::result::Result<Vec<UserId>, _> = fields.all("user").map(str::parse).collect();
    let users = users.map_err(|_| Error::NotFound)?;
    groups::add(&app.db, &at.member, id, &users).await?;
    see_other(&at.path(&format!("/groups/{id}")))
}

pub(super) async fn take_out(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<GroupPath>,
    _fields: Fields,
) -> Page {
    let id = path.id()?;
    groups::take_out(&app.db, &at.member, id, path.user()?).await?;
    see_other(&at.path(&format!("/groups/{id}")))
}

async fn list_view(app: &App, at: &Workspace, name: Field) -> Result<GroupsPage> {
    let row = |group: groups::Group| GroupRow {
        id: group.id.to_string(),
        name: group.name,
        external_name: group.external_name,
        members: group.members,
    };
    Ok(GroupsPage {
        rows: groups::list(&app.db, &at.member).await?.into_iter().map(row).collect(),
        shell: at.shell("Groups", Nav::Members).await?,
        tabs: Tabs::people(at.path(""), "/groups"),
        name,
    })
}

async fn view(app: &App, at: &Workspace, id: GroupId) -> Result<GroupPage> {
    let (group, inside) = groups::get(&app.db, &at.member, id).await?;
    let mut tx = app.db.tenant(at.tenant.id).await?;
    let everybody = members::list(&mut tx).await?;
    drop(tx);
    let (mut members, mut others) = (Vec::new(), Vec::new());
    for member in everybody {
        let person = person(&member.name, &member.email);
        match inside.iter().find(|one| one.user_id == member.user_id) {
            Some(one) => members.push(GroupMemberRow {
                user_id: member.user_id.to_string(),
                person,
                by_sign_in: one.by_sign_in,
                suspended: member.suspended_at.is_some(),
            }),
            None => others.push((member.user_id.to_string(), person)),
        }
    }
    Ok(GroupPage {
        shell: at.shell(&group.name, Nav::Members).await?,
        id: group.id.to_string(),
        members,
        others,
        name: Field::of(group.name),
        external_name: Field::of(group.external_name.unwrap_or_default()),
    })
}
