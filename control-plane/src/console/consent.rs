//! The page on which a person decides whether a client may act for them.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::Deserialize;
use url::Url;

use super::App;
use super::forms::Fields;
use super::headers::consent_policy;
use super::respond::{Page, add_factor_address, login_address, see_other, with_status};
use super::session::Visitor;
use super::view::{
    AccessCounts, ConsentClient, ConsentConnector, ConsentPage, OauthErrorPage, Role as ViewRole,
};
use crate::accounts::factors::requirement;
use crate::accounts::members::{self, Membership};
use crate::connectors::Installation;
use crate::error::{Error, Result};
use crate::oauth::authorize::{Params, Refusal, Request};
use crate::oauth::redirect;
use crate::tenants::{self, Tenant};

#[derive(Deserialize)]
pub(super) struct SlugPath {
    slug: String,
}

/// `GET /oauth/{slug}/authorize`.
pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<SlugPath>,
    RawQuery(query): RawQuery,
) -> Page {
    let query = query.unwrap_or_default();
    let tenant = tenants::by_slug(&app.db, &path.slug).await?;
    let checked = app.oauth.check(&tenant, &Params::parse(&query)).await?;
    if let Err(Refusal::Page(what)) = checked {
        return refuse(&visitor, what, "invalid_request").await;
    }
    let here = format!("/oauth/{}/authorize?{query}", path.slug);
    let Some(user) = &visitor.user else { return see_other(&login_address(&here)) };
    let member = match members::membership(&app.db, tenant.id, user.id).await {
        Ok(member) => member,
        Err(Error::NotFound) => {
            let who = format!("{} is not a member of {}.", user.email, tenant.slug);
            let what = format!("{who} Ask an admin for an invitation, or log in as somebody else.");
            return refuse(&visitor, &what, "access_denied").await;
        }
        Err(Error::Forbidden(what)) => return refuse(&visitor, what, "access_denied").await,
        Err(error) => return Err(error.into()),
    };
    if requirement::stops_member(&app.db, tenant.id, user.id).await? {
        return see_other(&add_factor_address(&here));
    }
    // A client may register any address, so only a member is sent to one (RFC 9700, section 4.11.2).
    let request = match checked {
        Ok(request) => request,
        Err(Refusal::Redirect(url)) => return see_other(&url),
        Err(Refusal::Page(what)) => return refuse(&visitor, what, "invalid_request").await,
    };
    let view = view(&app, &visitor, &tenant, &member, &request, &here).await?;
    Ok(consent_policy(with_status(StatusCode::OK, &view)?))
}

/// `POST /oauth/{slug}/authorize`: the decision.
pub(super) async fn decide(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<SlugPath>,
    fields: Fields,
) -> Page {
    let tenant = tenants::by_slug(&app.db, &path.slug).await?;
    let user = visitor.user.as_ref().ok_or(Error::NotFound)?;
    let member = members::membership(&app.db, tenant.id, user.id).await?;
    if requirement::stops_member(&app.db, tenant.id, user.id).await? {
        return see_other(&add_factor_address(""));
    }
    let allow = fields.get("decision") == "allow";
    match app.oauth.decide(&tenant, &member, fields.get("request"), allow).await {
        // 303, so that the client is not sent the form (RFC 9700, section 4.12).
        Ok(url) => Ok(consent_policy(see_other(&url)?.into_response())),
        Err(Error::Refused(what)) => refuse(&visitor, &what, "invalid_request").await,
        Err(error) => Err(error.into()),
    }
}

async fn refuse(visitor: &Visitor, what: &str, code: &str) -> Page {
    let view = OauthErrorPage {
        focus: visitor.focus("This request cannot be followed").await?,
        what: what.to_owned(),
        advice: "Nothing was shared with the application.".to_owned(),
        code: code.to_owned(),
        request_id: String::new(),
    };
    with_status(StatusCode::BAD_REQUEST, &view)
}

async fn view(
    app: &App,
    visitor: &Visitor,
    tenant: &Tenant,
    member: &Membership,
    request: &Request,
    here: &str,
) -> Result<ConsentPage> {
    let installations = app.installations.list(tenant.id).await?;
    let tools: Vec<_> =
        installations.iter().flat_map(Installation::tools).filter(|tool| tool.enabled).collect();
    let connector = |installation: &Installation| ConsentConnector {
        connector: installation.connector.name.clone(),
        name: installation.name.clone(),
        tools: installation.tools().iter().filter(|tool| tool.enabled).count(),
    };
    Ok(ConsentPage {
        focus: visitor.focus(&format!("Allow {}", request.client.name)).await?,
        action: format!("/oauth/{}/authorize", tenant.slug),
        request: app.oauth.pending(member, request)?,
        client: ConsentClient {
            name: request.client.name.clone(),
            host: None,
            redirect_host: redirect::display_host(&request.redirect_uri),
            local: Url::parse(&request.redirect_uri).is_ok_and(|url| redirect::is_loopback(&url)),
        },
        workspace: tenant.name.clone(),
        role: ViewRole::parse(member.role.as_str()),
        counts: AccessCounts::count(tools.iter().map(|tool| tool.access.as_str())),
        connectors: installations.iter().map(connector).filter(|c| c.tools > 0).collect(),
        switch_user: format!("{}&switch=1", login_address(here)),
    })
}
