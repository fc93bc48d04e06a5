//! Bringing an installation to a newer version of its connector: what changes first, then the button.

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::App;
use super::forms::Fields;
use super::installations::{InstallationPath, row};
use super::own::present;
use super::respond::{Page, page, see_other, with_status};
use super::session::Workspace;
use super::view::{Nav, UpdatePage};
use crate::accounts::members::Permission;
use crate::connectors::changes::Changes;
use crate::connectors::update::Updated;
use crate::error::{Error, Result};

pub(super) async fn show(State(app): State<App>, at: Workspace, Path(path): Path<InstallationPath>) -> Page {
    page(&view(&app, &at, &path, None).await?)
}

pub(super) async fn update(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    match app.installations.update(&app.private, &at.member, id, fields.get("hash")).await {
        Ok(Updated { changes, displaced }) => {
            let off = changes.to_switch_off().len();
            let more = match off {
                0 => String::new(),
                1 => " One tool that does more than read is off until you switch it on.".to_owned(),
                n => format!(" {n} tools that do more than read are off until you switch them on."),
            };
            let others: String = displaced
                .iter()
                .map(|(own, name)| {
                    format!(" Its new tool {own} goes by {name}, since you call another one that.")
                })
                .collect();
            at.flash(format!("The connector is updated.{more}{others}")).await?;
            see_other(&at.path(&format!("/connectors/{id}")))
        }
        Err(Error::Refused(message)) => {
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &at, &path, Some(message)).await?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn view(
    app: &App,
    at: &Workspace,
    path: &InstallationPath,
    error: Option<String>,
) -> Result<UpdatePage> {
    at.member.require(Permission::Connectors)?;
    let installation = app.installations.get(at.tenant.id, path.id()?).await?;
    let newer = app.installations.newer(&app.private, &at.member, &installation).await?;
    let changes = newer.as_ref().map(|newer| Changes::between(&installation.connector, &newer.connector));
    Ok(UpdatePage {
        shell: at.shell(&format!("Update {}", installation.name), Nav::Connectors).await?,
        id: installation.id.to_string(),
        row: row(&installation),
        hash: newer.as_ref().map(|newer| newer.hash.clone()).unwrap_or_default(),
        version: newer.map(|newer| newer.version).unwrap_or_default(),
        base_url: installation.base_url,
        changes: changes.as_ref().map(present::changes),
        error,
    })
}
