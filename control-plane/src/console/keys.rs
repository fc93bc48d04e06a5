//! API keys.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::claims::API_KEY_PREFIX;
use toolmesh_proto::ids::ApiKeyId;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::{Workspace, person};
use super::view::{Field, KeyCreatedPage, KeyRow, KeysPage, Moment, Nav};
use crate::accounts::keys;
use crate::error::{Error, Result};

#[derive(Deserialize)]
pub(super) struct KeyPath {
    id: String,
}

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    page(&view(&app, &at, Field::empty()).await?)
}

pub(super) async fn create(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    at.visitor.require_recent(&at.path("/keys"))?;
    match keys::create(&app.db, &at.member, fields.get("name")).await {
        Ok(key) => page(&KeyCreatedPage {
            shell: at.shell("New key", Nav::Keys).await?,
            name: fields.get("name").trim().to_owned(),
            key: key.secret.expose_secret().to_owned(),
        }),
        Err(Error::Field { message, .. }) => {
            let name = Field::of(fields.get("name")).refused(message);
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &at, name).await?)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn revoke(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<KeyPath>,
    _fields: Fields,
) -> Page {
    let id: ApiKeyId = path.id.parse().map_err(|_| Error::NotFound)?;
    keys::revoke(&app.db, &at.member, id).await?;
    at.flash("The key is revoked. Whatever used it gets an error from now on.").await?;
    see_other(&at.path("/keys"))
}

async fn view(app: &App, at: &Workspace, name: Field) -> Result<KeysPage> {
    let now = OffsetDateTime::now_utc();
    let row = |key: keys::ApiKey| KeyRow {
        id: key.id.to_string(),
        name: key.name,
        prefix: API_KEY_PREFIX.to_owned(),
        last4: key.last4,
        owner: person(&key.owner, &key.owner_email),
        yours: key.user_id == at.user.id,
        created: Moment::new(key.created_at, now),
        last_used: key.last_used_at.map(|at| Moment::new(at, now)),
        revoked: None,
    };
    let rows = keys::list(&app.db, &at.member).await?.into_iter().map(row).collect();
    let prove = at.prove("/keys");
    Ok(KeysPage { shell: at.shell("Keys", Nav::Keys).await?, rows, name, prove })
}
