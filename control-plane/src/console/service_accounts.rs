//! Service accounts of a workspace.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::ServiceAccountId;

use super::App;
use super::forms::Fields;
use super::keys::{form, make, row, shown_once, tabs};
use super::respond::{Page, page, see_other, with_status};
use super::session::{Workspace, person};
use super::view::{
    Field, MachineClientRow, Moment, Nav, ServiceAccountPage, ServiceAccountRow, ServiceAccountsPage,
};
use crate::accounts::keys;
use crate::accounts::service_accounts::{self, ServiceAccount};
use crate::error::{Error, Result};
use crate::oauth::clients::machines::{self, MachineClient};

#[derive(Deserialize)]
pub(super) struct AccountPath {
    id: String,
}

impl AccountPath {
    fn id(&self) -> Result<ServiceAccountId> {
        self.id.parse().map_err(|_| Error::NotFound)
    }
}

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    page(&listed(&app, &at, Field::empty(), Field::empty()).await?)
}

pub(super) async fn create(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let (name, description) = (fields.get("name"), fields.get("description"));
    match service_accounts::create(&app.db, &at.member, name, description).await {
        Ok(id) => {
            at.flash("The service account is made. Give it a key, or register a client for it.").await?;
            see_other(&at.path(&format!("/service-accounts/{id}")))
        }
        Err(error) => {
            let (name, description) = refused(name, description, error)?;
            let view = listed(&app, &at, name, description).await?;
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
    }
}

pub(super) async fn show(State(app): State<App>, at: Workspace, Path(path): Path<AccountPath>) -> Page {
    page(&one(&app, &at, path.id()?).await?)
}

pub(super) async fn describe(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<AccountPath>,
    fields: Fields,
) -> Page {
    let (id, name, description) = (path.id()?, fields.get("name"), fields.get("description"));
    match service_accounts::describe(&app.db, &at.member, id, name, description).await {
        Ok(()) => {
            at.flash("The changes are saved.").await?;
            see_other(&at.path(&format!("/service-accounts/{id}")))
        }
        Err(error) => {
            let (name, description) = refused(name, description, error)?;
            let view = ServiceAccountPage { name, description, ..one(&app, &at, id).await? };
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
    }
}

pub(super) async fn set_state(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<AccountPath>,
    fields: Fields,
) -> Page {
    let (id, disabled) = (path.id()?, fields.get("disabled") == "true");
    service_accounts::set_disabled(&app.db, &at.member, id, disabled).await?;
    let said = if disabled {
        "The service account is disabled. Whatever acts as it gets an error from now on."
    } else {
        "The service account is enabled. Its keys and clients work again."
    };
    at.flash(said).await?;
    see_other(&at.path(&format!("/service-accounts/{id}")))
}

pub(super) async fn delete(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<AccountPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    at.visitor.require_recent(&at.path(&format!("/service-accounts/{id}")))?;
    match service_accounts::delete(&app.db, &at.member, id, fields.get("confirm")).await {
        Ok(()) => {
            at.flash("The service account is deleted, with its keys and clients.").await?;
            see_other(&at.path("/service-accounts"))
        }
        Err(Error::Field { message, .. }) => {
            let confirm = Field::of(fields.get("confirm")).refused(message);
            let view = ServiceAccountPage { confirm, ..one(&app, &at, id).await? };
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn create_key(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<AccountPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    let back = at.path(&format!("/service-accounts/{id}"));
    at.visitor.require_recent(&back)?;
    match make(&app, &at, Subject::Service(id), &fields).await {
        Ok(made) => shown_once(&at, made, back, fields.get("expires") == "never", None).await,
        Err(Error::Field { message, .. }) => {
            let mut view = one(&app, &at, id).await?;
            view.form = form(view.form.action, Some((&fields, message)));
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn register_client(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<AccountPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    let back = at.path(&format!("/service-accounts/{id}"));
    at.visitor.require_recent(&back)?;
    let (name, keys) = (fields.get("client_name"), fields.get("keys"));
    match machines::register(&app.db, &at.member, id, name, keys).await {
        Ok(client) => {
            at.flash(format!("The client {} is registered as {}.", client.name, client.client_id)).await?;
            see_other(&back)
        }
        Err(Error::Field { field, message }) => {
            let (name, keys) = (Field::of(name), Field::of(keys));
            let (client_name, client_keys) = match field {
                "keys" => (name, keys.refused(message)),
                _ => (name.refused(message), keys),
            };
            let view = ServiceAccountPage { client_name, client_keys, ..one(&app, &at, id).await? };
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn remove_client(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<AccountPath>,
    fields: Fields,
) -> Page {
    let id = path.id()?;
    machines::remove(&app.db, &at.member, id, fields.get("client_id")).await?;
    at.flash("The client is removed. It gets no more tokens.").await?;
    see_other(&at.path(&format!("/service-accounts/{id}")))
}

/// The two fields with what was wrong, if that can be mended.
fn refused(name: &str, description: &str, error: Error) -> Result<(Field, Field)> {
    let (name, description) = (Field::of(name), Field::of(description));
    match error {
        Error::Field { field: "description", message } => Ok((name, description.refused(message))),
        Error::Field { message, .. } => Ok((name.refused(message), description)),
        error => Err(error),
    }
}

async fn listed(app: &App, at: &Workspace, name: Field, description: Field) -> Result<ServiceAccountsPage> {
    let now = OffsetDateTime::now_utc();
    let row = |account: ServiceAccount| ServiceAccountRow {
        id: account.id.to_string(),
        name: account.name,
        description: account.description,
        disabled: account.disabled_at.is_some(),
        keys: account.keys,
        clients: account.clients,
        last_used: account.last_used_at.map(|at| Moment::new(at, now)),
    };
    let found = service_accounts::list(&app.db, &at.member).await?;
    Ok(ServiceAccountsPage {
        shell: at.shell("Service accounts", Nav::Keys).await?,
        tabs: tabs(at, "/service-accounts"),
        rows: found.into_iter().map(row).collect(),
        name,
        description,
    })
}

async fn one(app: &App, at: &Workspace, id: ServiceAccountId) -> Result<ServiceAccountPage> {
    let account = service_accounts::get(&app.db, &at.member, id).await?;
    let found = keys::of_service_account(&app.db, &at.member, id).await?;
    let clients = machines::list(&app.db, &at.member, id).await?;
    let now = OffsetDateTime::now_utc();
    let moment = |at: OffsetDateTime| Moment::new(at, now);
    Ok(ServiceAccountPage {
        shell: at.shell(&account.name, Nav::Keys).await?,
        id: id.to_string(),
        name: Field::of(account.name),
        description: Field::of(account.description),
        created: moment(account.created_at),
        created_by: person(&account.created_by, &account.created_by_email),
        disabled: account.disabled_at.map(moment),
        last_used: account.last_used_at.map(moment),
        subject: Subject::Service(id).to_string(),
        rows: found.into_iter().map(|key| row(at, key)).collect(),
        form: form(at.path(&format!("/service-accounts/{id}/keys")), None),
        clients: clients.into_iter().map(|client| client_row(client, now)).collect(),
        client_name: Field::empty(),
        client_keys: Field::empty(),
        token_endpoint: format!("{}/oauth/{}/token", app.console_origin, at.tenant.slug),
        confirm: Field::empty(),
        prove: at.prove(&format!("/service-accounts/{id}")),
    })
}

fn client_row(client: MachineClient, now: OffsetDateTime) -> MachineClientRow {
    MachineClientRow {
        client_id: client.client_id,
        name: client.name,
        keys_at: client.jwks_uri,
        registered: Moment::new(client.first_seen_at, now),
        last_used: client.last_seen_at.map(|at| Moment::new(at, now)),
    }
}
