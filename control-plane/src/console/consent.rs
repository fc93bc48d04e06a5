//! The page on which a person decides whether a client may act for them.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use serde::Deserialize;
use toolmesh_proto::access::Access;
use toolmesh_proto::claims::Scopes;
use url::Url;

use super::App;
use super::forms::Fields;
use super::headers::consent_policy;
use super::respond::{Page, add_factor_address, login_address, see_other, with_status};
use super::session::Visitor;
use super::view::{
    AccessCounts, ConsentClient, ConsentConnector, ConsentPage, OauthErrorPage, Role as ViewRole, Vouched,
};
use crate::accounts::factors::requirement;
use crate::accounts::members::{self, Membership, Permission};
use crate::connectors::{Installation, ToolRow};
use crate::error::{Error, Result};
use crate::oauth::authorize::{Params, Refusal, Request};
use crate::oauth::clients::{Client, Kind, Standing};
use crate::oauth::redirect;
use crate::oauth::refusals::{Endpoint, Refused};
use crate::tenants::{self, Tenant, access};

#[derive(Deserialize)]
pub(super) struct SlugPath {
    slug: String,
}

/// `GET /oauth/{slug}/authorize`.
pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<SlugPath>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Page {
    let query = query.unwrap_or_default();
    let params = Params::parse(&query);
    let at = Asked { tenant: tenants::by_slug(&app.db, &path.slug).await?, client_id: params.client_id() };
    let here = format!("/oauth/{}/authorize?{query}", path.slug);
    let member = match &visitor.user {
        Some(user) => match members::membership(&app.db, at.tenant.id, user.id).await {
            Ok(member) => Some(member),
            Err(Error::NotFound) => None,
            Err(Error::Forbidden(what)) => return at.refuse(&app, &visitor, what, "access_denied").await,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    // What has to be fetched is fetched for a member, not for whoever passes by.
    let checked = if member.is_some() || !params.names_document() {
        Some(app.oauth.check(&at.tenant, &params).await?)
    } else {
        None
    };
    if let Some(Err(Refusal::Page(what))) = &checked {
        return at.refuse(&app, &visitor, what, "invalid_request").await;
    }
    let Some(user) = &visitor.user else { return see_other(&login_address(&here)) };
    let (Some(member), Some(checked)) = (member, checked) else {
        let who = format!("{} is not a member of {}.", user.email, at.tenant.slug);
        let what = format!("{who} Ask an admin for an invitation, or log in as somebody else.");
        return at.refuse(&app, &visitor, &what, "access_denied").await;
    };
    if requirement::stops_member(&app.db, at.tenant.id, user.id).await? {
        return see_other(&add_factor_address(&here));
    }
    // A client may register any address, so only a member is sent to one (RFC 9700, section 4.11.2).
    let request = match checked {
        Ok(request) => request,
        Err(Refusal::Redirect { url, error, reason }) => {
            at.note(&app, &visitor, error, reason).await;
            return see_other(&url);
        }
        Err(Refusal::Page(what)) => return at.refuse(&app, &visitor, &what, "invalid_request").await,
    };
    let standing = app.oauth.admit(&member, &request.client).await?;
    if standing != Standing::Allowed {
        return at.hold(&app, &visitor, &member, &request.client.name, standing).await;
    }
    let came_alone = headers.get("sec-fetch-site").is_some_and(|site| site == "none");
    if let Some(url) = app.oauth.remembered(&at.tenant, &member, &request, came_alone).await? {
        return Ok(consent_policy(see_other(&url)?.into_response()));
    }
    let view = view(&app, &visitor, &at.tenant, &member, &request, &here).await?;
    Ok(consent_policy(with_status(StatusCode::OK, &view)?))
}

/// `POST /oauth/{slug}/authorize`: the decision.
pub(super) async fn decide(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<SlugPath>,
    fields: Fields,
) -> Page {
    let at = Asked { tenant: tenants::by_slug(&app.db, &path.slug).await?, client_id: "" };
    let user = visitor.user.as_ref().ok_or(Error::NotFound)?;
    let member = members::membership(&app.db, at.tenant.id, user.id).await?;
    if requirement::stops_member(&app.db, at.tenant.id, user.id).await? {
        return see_other(&add_factor_address(""));
    }
    let allow = fields.get("decision") == "allow";
    let request = fields.get("request");
    match app.oauth.decide(&at.tenant, &member, &visitor.binding(), request, allow).await {
        // 303, so that the client is not sent the form (RFC 9700, section 4.12).
        Ok(url) => Ok(consent_policy(see_other(&url)?.into_response())),
        Err(Error::Refused(what)) => at.refuse(&app, &visitor, &what, "invalid_request").await,
        Err(error) => Err(error.into()),
    }
}

/// What is asked for, as far as a refusal has to say it.
struct Asked<'a> {
    tenant: Tenant,
    client_id: &'a str,
}

impl Asked<'_> {
    /// Keeps a refusal for the admins.
    async fn note(&self, app: &App, visitor: &Visitor, error: &str, reason: &str) {
        let refused = Refused {
            endpoint: Endpoint::Authorize,
            client_id: self.client_id,
            error,
            reason,
            address: &visitor.origin.address,
        };
        app.oauth.note_refusal(self.tenant.id, refused).await;
    }

    async fn refuse(&self, app: &App, visitor: &Visitor, what: &str, code: &str) -> Page {
        self.note(app, visitor, code, what).await;
        let title = "This request cannot be followed";
        refusal_page(visitor, title, what, "Nothing was shared with the application.", code).await
    }

    /// The page about a client that may not be used, or not yet.
    async fn hold(
        &self,
        app: &App,
        visitor: &Visitor,
        member: &Membership,
        client: &str,
        standing: Standing,
    ) -> Page {
        let workspace = &self.tenant.name;
        let (title, what, advice) = if standing == Standing::Blocked {
            (
                format!("{client} is blocked"),
                format!("An admin of {workspace} has blocked {client}, so it cannot be connected."),
                "If you need it, ask an admin of the workspace to allow it under Clients.",
            )
        } else {
            (
                format!("{client} waits for an admin"),
                format!(
                    "In {workspace}, an admin allows a client before members connect it. {client} is noted for them."
                ),
                "Ask an admin to allow it under Clients, then start again from the application.",
            )
        };
        self.note(app, visitor, "access_denied", &what).await;
        let advice = if member.may(Permission::Clients) {
            format!(
                "You may allow it yourself: open Clients in {workspace}, then start again from the application."
            )
        } else {
            advice.to_owned()
        };
        refusal_page(visitor, &title, &what, &advice, "access_denied").await
    }
}

async fn refusal_page(visitor: &Visitor, title: &str, what: &str, advice: &str, code: &str) -> Page {
    let view = OauthErrorPage {
        focus: visitor.focus(title).await?,
        what: what.to_owned(),
        advice: advice.to_owned(),
        code: code.to_owned(),
        request_id: String::new(),
    };
    with_status(StatusCode::BAD_REQUEST, &view)
}

fn vouched(client: &Client) -> Vouched {
    match (client.kind, client.host()) {
        (Kind::MetadataDocument, Some(host)) => Vouched::Host(host),
        (Kind::Manual, _) => Vouched::Admin,
        _ => Vouched::Nobody,
    }
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
    let apart = access::of(&app.db, tenant.id).await?.writes_need_scope;
    let writing = apart.then(|| Scopes::parse(&request.scope).write);
    let given = |tool: &ToolRow| tool.enabled && (writing != Some(false) || tool.access == Access::Read);
    let tools: Vec<_> = installations.iter().flat_map(Installation::tools).filter(&given).collect();
    let connector = |installation: &Installation| ConsentConnector {
        connector: installation.connector.name.clone(),
        name: installation.name.clone(),
        tools: installation.tools().into_iter().filter(&given).count(),
    };
    Ok(ConsentPage {
        focus: visitor.focus(&format!("Allow {}", request.client.name)).await?,
        action: format!("/oauth/{}/authorize", tenant.slug),
        request: app.oauth.pending(member, &visitor.binding(), request)?,
        client: ConsentClient {
            name: request.client.name.clone(),
            vouched: vouched(&request.client),
            redirect_host: redirect::display_host(&request.redirect_uri),
            local: Url::parse(&request.redirect_uri).is_ok_and(|url| redirect::is_loopback(&url)),
        },
        workspace: tenant.name.clone(),
        role: ViewRole::parse(member.role.as_str()),
        counts: AccessCounts::count(tools.iter().map(|tool| tool.access.as_str())),
        connectors: installations.iter().map(connector).filter(|c| c.tools > 0).collect(),
        writing,
        switch_user: format!("{}&switch=1", login_address(here)),
    })
}
