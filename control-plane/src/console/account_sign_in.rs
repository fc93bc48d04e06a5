//! A person's ways to log in elsewhere: which there are, adding one, taking one away.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::App;
use super::forms::Fields;
use super::respond::{Page, confirm_address, page, see_other, sentence, with_status};
use super::session::{LoggedIn, flash};
use super::sign_in;
use super::view::{AccountSignInPage, IdentityRow, LinkTicketPage, Moment, Tabs};
use crate::accounts::events::Kind;
use crate::accounts::external::Purpose;
use crate::accounts::external::people::Identity;
use crate::accounts::external::providers::Provider;
use crate::error::{Error, Result};
use crate::peer::ClientAddress;

const HERE: &str = "/account/sign-in";

#[derive(Deserialize)]
pub(super) struct TicketQuery {
    #[serde(default)]
    ticket: String,
}

pub(super) async fn show(State(app): State<App>, who: LoggedIn) -> Page {
    page(&view(&app, &who, None).await?)
}

async fn view(app: &App, who: &LoggedIn, error: Option<String>) -> Result<AccountSignInPage> {
    let now = OffsetDateTime::now_utc();
    let known = app.external.identities(who.user.id).await?;
    let has_password = app.external.has_password(who.user.id).await?;
    let other_way = has_password || app.factors.has_passkey(who.user.id).await?;
    let linked = known.iter().filter(|identity| identity.id.is_some()).count();
    let mut offered = sign_in::buttons(app);
    offered.retain(|button| !known.iter().any(|identity| identity.provider == button.key));
    let row = |identity: Identity| IdentityRow {
        id: identity.id.map(|id| id.to_string()),
        name: Provider::parse(&identity.provider).unwrap_or_else(company).name().to_owned(),
        key: identity.provider,
        label: identity.label,
        linked: Moment::new(identity.linked_at, now),
        used: identity.last_used_at.map(|at| Moment::new(at, now)),
        last: linked < 2 && !other_way,
    };
    Ok(AccountSignInPage {
        focus: who.visitor.focus("Your account").await?,
        tabs: Tabs::account("/sign-in"),
        prove: (!who.visitor.is_recent()).then(|| confirm_address(HERE)),
        has_password,
        rows: known.into_iter().map(row).collect(),
        offered,
        error,
    })
}

fn company() -> Provider {
    Provider::Company(toolmesh_proto::ids::TenantId::from(Uuid::nil()))
}

/// Off to a provider, to be known there from now on.
pub(super) async fn add(
    State(app): State<App>,
    who: LoggedIn,
    address: ClientAddress,
    fields: Fields,
) -> Page {
    who.visitor.require_recent(HERE)?;
    let offered = app.external.offered();
    let Some(provider) = offered.into_iter().find(|known| known.key() == fields.get("provider")) else {
        return again(&app, &who, "This ToolMesh does not offer to log in with that.").await;
    };
    sign_in::go(&app, &who.visitor, &address, provider, Purpose::Link(who.user.id), HERE).await
}

pub(super) async fn remove(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    who.visitor.require_recent(HERE)?;
    let wanted: Option<Uuid> = fields.get("identity").parse().ok();
    let known = app.external.identities(who.user.id).await?;
    let found = known.into_iter().find(|identity| identity.id.is_some() && identity.id == wanted);
    let Some((id, identity)) = found.and_then(|identity| Some((identity.id?, identity))) else {
        return again(&app, &who, "That account is not linked any more.").await;
    };
    let has_passkey = app.factors.has_passkey(who.user.id).await?;
    match app.external.unlink(who.user.id, id, has_passkey).await {
        Ok(()) => {
            let name = Provider::parse(&identity.provider).unwrap_or_else(company);
            let about = format!("{name} ({})", identity.label);
            app.accounts.happened(&who.user, Kind::IdentityUnlinked, &who.visitor.origin, &about).await?;
            flash(&who.visitor.session, format!("You no longer log in with {name}.")).await?;
            see_other(HERE)
        }
        Err(error @ Error::Refused(_)) => again(&app, &who, &sentence(&error)).await,
        Err(error) => Err(error.into()),
    }
}

async fn again(app: &App, who: &LoggedIn, problem: &str) -> Page {
    let view = view(app, who, Some(problem.to_owned())).await?;
    with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
}

/// After the owner of an account logged in as before: shall the login elsewhere be theirs too?
pub(super) async fn link_form(
    State(app): State<App>,
    who: LoggedIn,
    Query(query): Query<TicketQuery>,
) -> Page {
    let ticket = app.external.open_ticket(&query.ticket, &who.visitor.browser())?;
    page(&LinkTicketPage {
        focus: who.visitor.focus("Link your accounts").await?,
        name: ticket.provider.name().to_owned(),
        label: ticket.label,
        email: ticket.email,
        ticket: query.ticket,
    })
}

pub(super) async fn link(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    who.visitor.require_recent(&format!("{HERE}/link?ticket={}", fields.get("ticket")))?;
    let ticket = app.external.open_ticket(fields.get("ticket"), &who.visitor.browser())?;
    app.external.use_ticket(&ticket, &who.user).await?;
    let about = format!("{} ({})", ticket.provider, ticket.label);
    app.accounts.happened(&who.user, Kind::IdentityLinked, &who.visitor.origin, &about).await?;
    flash(&who.visitor.session, format!("You can now log in with {}.", ticket.provider)).await?;
    see_other(super::session::safe_next(&ticket.next))
}
