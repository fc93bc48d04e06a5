//! Connecting an installation to an account at its provider: off with a state, and back with a code.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use secrecy::SecretString;
use time::OffsetDateTime;
use toolmesh_proto::ids::{InstallationId, UserId};
use toolmesh_proto::v1;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use url::Url;

use super::App;
use super::forms::Fields;
use super::installations::{InstallationPath, client_asked, client_refused};
use super::respond::{Page, page, see_other, sentence, status_of, with_status};
use super::session::{LoggedIn, Visitor, Workspace, flash, person};
use super::view::{ConnectFailedPage, Connection, Field, LeavingPage, Moment, ProviderView};
use crate::accounts::members::{self, Permission};
use crate::connectors::Installation;
use crate::connectors::grants::consent::{Arrived, Callback};
use crate::connectors::grants::provider::{is_found, registration};
use crate::connectors::grants::{GivenBack, GrantFacts, Kind};
use crate::connectors::installation::oauth2;
use crate::connectors::upstream::Looked;
use crate::error::{Error, Result};
use crate::tenants;

/// Off to the provider. A page leads there, since a form may not lead away from this console.
pub(super) async fn start(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    _fields: Fields,
) -> Page {
    at.member.require(Permission::Connectors)?;
    let id = path.id()?;
    let here = at.path(&format!("/connectors/{id}"));
    at.visitor.require_recent(&here)?;
    let installation = app.installations.get(at.tenant.id, id).await?;
    let begun = app.grants.connect(&at.member, id, &at.visitor.browser()).await;
    if matches!(begun, Err(Error::Refused(_)))
        && provider(&app, &at, &installation).await?.is_some_and(|provider| provider.has_to_be_entered)
    {
        return client_asked(&app, &at, id).await;
    }
    leave(&at, &installation, here, begun).await
}

/// The page that leads to the provider.
pub(super) async fn begin(app: &App, at: &Workspace, installation: &Installation, here: String) -> Page {
    let begun = app.grants.connect(&at.member, installation.id, &at.visitor.browser()).await;
    leave(at, installation, here, begun).await
}

async fn leave(at: &Workspace, installation: &Installation, here: String, begun: Result<Url>) -> Page {
    let url = match begun {
        Ok(url) => url,
        Err(error @ Error::Refused(_)) => {
            return failed(&at.visitor, &installation.connector.title, &error, here).await;
        }
        Err(error) => return Err(error.into()),
    };
    let name = installation.connector.title.clone();
    let host = url.host_str().unwrap_or_default().to_owned();
    let focus = at.visitor.focus(&format!("Going to {name}")).await?;
    page(&LeavingPage { focus, name, host, url: url.to_string() })
}

/// Back from the provider.
pub(super) async fn callback(State(app): State<App>, at: LoggedIn, Query(callback): Query<Callback>) -> Page {
    let arrived = match app.grants.back(&callback, &at.visitor.browser(), at.user.id).await {
        Ok(arrived) => arrived,
        Err(error @ Error::Gone(_)) => {
            return failed(&at.visitor, "The connection", &error, "/workspaces".to_owned()).await;
        }
        Err(error) => return Err(error.into()),
    };
    let slug = tenants::by_id(&app.db, arrived.tenant).await?.slug;
    let (kind, whose) =
        if arrived.personal { ("connections", "Your calls") } else { ("connectors", "Calls") };
    let here = format!("/w/{slug}/{kind}/{}", arrived.installation);
    match arrived.outcome {
        Ok(()) => {
            let said = format!("It is connected. {whose} use this account from now on.");
            flash(&at.visitor.session, said).await?;
            let here = looked_at(&app, &arrived, at.user.id, &slug).await?.unwrap_or(here);
            see_other(&here)
        }
        Err(error @ Error::Refused(_)) => {
            let installation = app.installations.get(arrived.tenant, arrived.installation).await?;
            failed(&at.visitor, &installation.connector.title, &error, here).await
        }
        Err(error) => Err(error.into()),
    }
}

/// What this deployment says of itself as a client; its address is the client's id.
pub(super) async fn client_document(State(app): State<App>) -> Response {
    let cached = [(header::CACHE_CONTROL, "public, max-age=3600")];
    (cached, Json(registration::document(&app.console_origin))).into_response()
}

/// Keeps a client that somebody registered at the authorization server of an MCP server.
pub(super) async fn enter_client(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    fields: Fields,
) -> Page {
    at.member.require(Permission::Connectors)?;
    let id = path.id()?;
    let here = at.path(&format!("/connectors/{id}"));
    at.visitor.require_recent(&here)?;
    let secret = SecretString::from(fields.get("client_secret").to_owned());
    match app.grants.enter_client(&at.member, id, fields.get("client_id"), secret).await {
        Ok(()) => {
            at.flash("The client is saved. Connect it now.").await?;
            see_other(&here)
        }
        Err(Error::Field { field, message }) => {
            client_refused(&app, &at, id, fields.get("client_id"), (field, message)).await
        }
        Err(error) => Err(error.into()),
    }
}

/// What an MCP server offers that was connected: it is looked at now, and who may decide about it is shown what there is.
async fn looked_at(
    app: &App,
    arrived: &Arrived,
    user: UserId,
    slug: &impl std::fmt::Display,
) -> Result<Option<String>> {
    let member = members::membership(&app.db, arrived.tenant, user).await?;
    let installation = app.installations.get(arrived.tenant, arrived.installation).await?;
    if installation.connector.server.is_none() || !member.may(Permission::Connectors) {
        return Ok(None);
    }
    let looked = app.upstreams.connected(arrived.tenant, arrived.installation, user).await?;
    let waits = matches!(looked, Looked::Well { waiting } if waiting > 0);
    Ok(waits.then(|| format!("/w/{slug}/servers/{}", arrived.installation)))
}

/// Ends the connection.
pub(super) async fn disconnect(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<InstallationPath>,
    _fields: Fields,
) -> Page {
    at.member.require(Permission::Connectors)?;
    let id = path.id()?;
    let here = at.path(&format!("/connectors/{id}"));
    at.visitor.require_recent(&here)?;
    let back = app.grants.disconnect(&at.member, id).await?;
    at.flash(given_back(back)).await?;
    see_other(&here)
}

/// What is said after a connection has ended.
pub(super) const fn given_back(back: GivenBack) -> &'static str {
    match back {
        GivenBack::Revoked => {
            "It is disconnected. The tokens are deleted here and taken back at the provider."
        }
        GivenBack::NotAsked => {
            "It is disconnected. What was stored here is deleted; take the access back at the provider too."
        }
        GivenBack::Failed => {
            "It is disconnected. What was stored here is deleted, but the provider did not take the access back. Do that there."
        }
    }
}

/// What keeps a member's own account from being used, and what to do about it.
pub(super) fn own_problem(facts: &GrantFacts) -> Option<String> {
    let code = &facts.problem_code;
    Some(match Kind::parse(&facts.problem)? {
        Kind::Reconnect if facts.connected && facts.obtained_at.is_none() => {
            format!("It refused what you entered ({code}). Enter it again.")
        }
        Kind::Reconnect => format!("Its provider has ended the connection ({code}). Reconnect it."),
        Kind::Scope => {
            format!(
                "Its provider does not give the access that is asked for ({code}). Reconnect it to allow more."
            )
        }
        Kind::Client => format!(
            "Its provider does not take the workspace's client id and secret ({code}). Ask an owner or admin to replace them."
        ),
        Kind::Provider => format!("Its provider gave no access token ({code}). The next call tries again."),
    })
}

/// What went wrong, and the way back.
async fn failed(visitor: &Visitor, name: &str, error: &Error, back: String) -> Page {
    let focus = visitor.focus(&format!("{name} was not connected")).await?;
    let back = (back_words(&back).to_owned(), back);
    let view = ConnectFailedPage { focus, name: name.to_owned(), text: sentence(error), back };
    with_status(status_of(error), &view)
}

fn back_words(path: &str) -> &'static str {
    match path {
        "/workspaces" => "Go to your workspaces",
        path if path.contains("/connections/") => "Back to the connection",
        _ => "Back to the connector",
    }
}

/// The authorization server that was found for an installation, and the form for a client of it.
pub(super) async fn provider(
    app: &App,
    at: &Workspace,
    installation: &Installation,
) -> Result<Option<ProviderView>> {
    if !is_found(&installation.connector) {
        return Ok(None);
    }
    let facts = app.grants.provider(&at.member, installation.id).await?;
    Ok(facts.map(|facts| ProviderView {
        issuer: facts.issuer,
        entered: facts.entered,
        has_to_be_entered: facts.has_to_be_entered,
        redirect_uri: app.grants.redirect_uri(),
        field: Field::of(if facts.entered { facts.client_id.clone() } else { String::new() }),
        client_id: facts.client_id,
        secret: Field::empty(),
    }))
}

/// What the page of an installation says of its access tokens; nothing where it needs none.
pub(super) fn connection(app: &App, installation: &Installation, now: OffsetDateTime) -> Option<Connection> {
    oauth2(&installation.connector)?;
    let redirect_uri = redirect_uri(app, &installation.connector);
    let found = is_found(&installation.connector);
    let ready = installation.missing_credentials().is_empty();
    let Some(facts) = &installation.grant else {
        return Some(Connection { redirect_uri, ready, found, ..Connection::default() });
    };
    let moment = |at: Option<OffsetDateTime>| at.map(|at| Moment::new(at, now));
    Some(Connection {
        problem: problem(facts, redirect_uri.is_some()),
        renewable: facts.renewable || redirect_uri.is_none(),
        redirect_uri,
        ready,
        found,
        connected: facts.connected,
        account: facts.account.clone(),
        by: facts
            .connected_by
            .as_ref()
            .map(|name| person(name, facts.connected_by_email.as_deref().unwrap_or_default())),
        at: moment(facts.connected_at),
        scopes: facts.scope.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        obtained: moment(facts.obtained_at),
        expires: moment(facts.expires_at),
    })
}

/// What keeps an installation from getting access tokens, and what to do about it.
pub(super) fn problem(facts: &GrantFacts, by_consent: bool) -> Option<String> {
    let code = &facts.problem_code;
    Some(match (Kind::parse(&facts.problem)?, by_consent) {
        (Kind::Reconnect, true) => format!("Its provider has ended the connection ({code}). Reconnect it."),
        (Kind::Reconnect, false) => {
            format!("Its provider no longer takes the refresh token ({code}). Replace the credential.")
        }
        (Kind::Client, _) => {
            format!(
                "Its provider does not take the stored client id, secret or key ({code}). Replace the credential."
            )
        }
        (Kind::Scope, true) => {
            format!(
                "Its provider does not give the access that is asked for ({code}). Allow it there, then reconnect."
            )
        }
        (Kind::Scope, false) => {
            format!("Its provider does not give the access that is asked for ({code}). Allow it there.")
        }
        (Kind::Provider, _) => {
            format!("Its provider gave no access token ({code}). The next call tries again.")
        }
    })
}

/// Where providers send people back to; shown wherever an OAuth app of the provider's is to be registered.
pub(super) fn redirect_uri(app: &App, connector: &v1::Connector) -> Option<String> {
    let oauth2 = oauth2(connector)?;
    let by_consent = oauth2.flow() == Flow::AuthorizationCode;
    by_consent.then(|| app.grants.redirect_uri())
}

/// What a call would be made with, in place of the settings' own secrets, for a test on a node.
pub(super) async fn lend(
    app: &App,
    at: &Workspace,
    saved: Option<InstallationId>,
    connector: &v1::Connector,
    installation: &mut v1::Installation,
) -> Result<()> {
    installation.credentials = app.grants.for_test(&at.member, saved, connector, installation).await?;
    Ok(())
}
