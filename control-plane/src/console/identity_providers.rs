//! Identity providers that a workspace trusts to vouch for its members.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use time::OffsetDateTime;
use toolmesh_proto::ids::IdentityProviderId;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::Workspace;
use super::view::{Field, IdentityProviderRow, IdentityProvidersPage, Moment, Nav, Tabs};
use crate::error::{Error, Result};
use crate::oauth::identity_providers::{self, IdentityProvider, NewProvider};

const HERE: &str = "/settings/identity-providers";

#[derive(Deserialize)]
pub(super) struct ProviderPath {
    id: String,
}

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    page(&view(&app, &at).await?)
}

pub(super) async fn add(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    at.visitor.require_recent(&at.path(HERE))?;
    let new = NewProvider {
        issuer: fields.get("issuer"),
        jwks_uri: fields.get("jwks_uri"),
        client_ids: fields.get("client_ids"),
    };
    match app.oauth.trust_provider(&at.member, new).await {
        Ok(()) => {
            at.flash("The identity provider is trusted. Clients that it vouches for get in without asking.")
                .await?;
            see_other(&at.path(HERE))
        }
        Err(Error::Field { field, message }) => {
            let typed = |name: &'static str| {
                let value = Field::of(fields.get(name));
                if name == field { value.refused(message.clone()) } else { value }
            };
            let view = IdentityProvidersPage {
                issuer: typed("issuer"),
                jwks_uri: typed("jwks_uri"),
                client_ids: typed("client_ids"),
                ..view(&app, &at).await?
            };
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn remove(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<ProviderPath>,
    _fields: Fields,
) -> Page {
    let id: IdentityProviderId = path.id.parse().map_err(|_| Error::NotFound)?;
    identity_providers::remove(&app.db, &at.member, id).await?;
    at.flash("The identity provider is no longer trusted.").await?;
    see_other(&at.path(HERE))
}

async fn view(app: &App, at: &Workspace) -> Result<IdentityProvidersPage> {
    let now = OffsetDateTime::now_utc();
    let row = |provider: IdentityProvider| IdentityProviderRow {
        id: provider.id.to_string(),
        issuer: provider.issuer,
        jwks_uri: provider.jwks_uri,
        client_ids: provider.client_ids,
        added: Moment::new(provider.created_at, now),
        added_by: provider.created_by,
        last_used: provider.last_used_at.map(|at| Moment::new(at, now)),
        people: provider.people,
    };
    let found = identity_providers::overview(&app.db, &at.member).await?;
    Ok(IdentityProvidersPage {
        shell: at.shell("Identity providers", Nav::Settings).await?,
        tabs: Tabs::settings(at.path("/settings"), "/identity-providers"),
        rows: found.providers.into_iter().map(row).collect(),
        domains: found.domains,
        issuer: Field::empty(),
        jwks_uri: Field::empty(),
        client_ids: Field::empty(),
        audience: at.origin(),
        prove: at.prove(HERE),
    })
}
