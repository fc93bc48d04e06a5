//! A workspace's settings.

use axum::extract::State;
use axum::http::StatusCode;
use time::OffsetDateTime;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::Workspace;
use super::view::{Field, Moment, Nav, SettingsPage, Tabs};
use crate::accounts::members::Permission;
use crate::error::{Error, Result};
use crate::tenants;

pub(super) async fn show(at: Workspace) -> Page {
    at.member.require(Permission::Settings)?;
    page(&view(&at, Field::of(at.tenant.name.clone())).await?)
}

pub(super) async fn save(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    match tenants::rename(&app.db, &at.member, fields.get("name")).await {
        Ok(()) => {
            at.flash("The name is saved.").await?;
            see_other(&at.path("/settings"))
        }
        Err(Error::Field { message, .. }) => {
            let name = Field::of(fields.get("name")).refused(message);
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(&at, name).await?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn view(at: &Workspace, name: Field) -> Result<SettingsPage> {
    Ok(SettingsPage {
        shell: at.shell("Settings", Nav::Settings).await?,
        tabs: Tabs::settings(at.path("/settings"), ""),
        name,
        tenant_id: at.tenant.id.to_string(),
        created: Moment::new(at.tenant.created_at, OffsetDateTime::now_utc()),
    })
}
