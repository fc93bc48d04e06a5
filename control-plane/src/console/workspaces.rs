//! My workspaces, and making one.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::LoggedIn;
use super::view::{Field, Role, SlugAnswer, SlugState, WorkspaceNewPage, WorkspaceRow, WorkspacesPage};
use crate::error::{Error, Result};
use crate::tenants;

#[derive(Deserialize)]
pub(super) struct SlugQuery {
    #[serde(default)]
    slug: String,
}

pub(super) async fn list(State(app): State<App>, who: LoggedIn) -> Page {
    let mine = tenants::of_user(&app.db, who.user.id).await?;
    let row = |own: tenants::OwnWorkspace| WorkspaceRow {
        host: format!("{}{}", own.tenant.slug, app.origins.suffix()),
        role: Role::parse(own.role.as_str()),
        suspended: own.suspended,
        slug: own.tenant.slug.to_string(),
        name: own.tenant.name,
    };
    let rows = mine.into_iter().map(row).collect();
    page(&WorkspacesPage { focus: who.visitor.focus("Your workspaces").await?, rows })
}

pub(super) async fn new_form(State(app): State<App>, who: LoggedIn) -> Page {
    let answer = SlugAnswer { state: SlugState::Blank, endpoint: String::new() };
    page(&form(&app, &who, Field::empty(), "", answer).await?)
}

pub(super) async fn create(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    let (name, slug) = (fields.get("name"), fields.get("slug").trim());
    match tenants::create(&app.db, &app.vault, who.user.id, name, slug).await {
        Ok((tenant, _)) => see_other(&format!("/w/{}", tenant.slug)),
        Err(Error::Field { field, message }) => {
            let (name, answer) = if field == "slug" {
                (Field::of(name), SlugAnswer { state: SlugState::No(message), endpoint: String::new() })
            } else {
                (Field::of(name).refused(message), answer(&app, slug).await?)
            };
            let form = form(&app, &who, name, slug, answer).await?;
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &form)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn check_slug(
    State(app): State<App>,
    _who: LoggedIn,
    Query(query): Query<SlugQuery>,
) -> Page {
    page(&answer(&app, query.slug.trim()).await?)
}

async fn answer(app: &App, slug: &str) -> Result<SlugAnswer> {
    if slug.is_empty() {
        return Ok(SlugAnswer { state: SlugState::Blank, endpoint: String::new() });
    }
    match tenants::check_slug(&app.db, slug).await {
        Ok(slug) => Ok(SlugAnswer {
            state: SlugState::Available,
            endpoint: format!("{}/mcp", app.origins.origin(&slug)),
        }),
        Err(Error::Field { message, .. }) => {
            Ok(SlugAnswer { state: SlugState::No(message), endpoint: String::new() })
        }
        Err(error) => Err(error),
    }
}

async fn form(
    app: &App,
    who: &LoggedIn,
    name: Field,
    slug: &str,
    answer: SlugAnswer,
) -> Result<WorkspaceNewPage> {
    Ok(WorkspaceNewPage {
        focus: who.visitor.focus("Create a workspace").await?,
        name,
        slug: slug.to_owned(),
        answer,
        before: app.origins.prefix(),
        after: format!("{}/mcp", app.origins.suffix()),
        first: tenants::of_user(&app.db, who.user.id).await?.is_empty(),
    })
}
