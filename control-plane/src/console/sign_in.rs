//! Logging in elsewhere: off to a provider and back, a company by its people's addresses, and the question whether an account
//! that exists is theirs.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::App;
use super::forms::Fields;
use super::login::{self, Factor};
use super::respond::{Page, login_address, page, see_other, sentence, status_of, with_status};
use super::session::{Visitor, flash, safe_next};
use super::view::{
    CompanyLoginPage, Field, LeavingPage, LinkPage, OwnerQuestion, ProviderButton, RequiredPage,
    SignInFailedPage,
};
use crate::accounts::User;
use crate::accounts::events::Kind;
use crate::accounts::external::company::Company;
use crate::accounts::external::people::{Arrival, Ticket};
use crate::accounts::external::providers::Provider;
use crate::accounts::external::{Attempt, Callback, Purpose};
use crate::accounts::members;
use crate::error::{Error, Result};
use crate::peer::ClientAddress;
use crate::tenants;

#[derive(Deserialize)]
pub(super) struct ProviderPath {
    provider: String,
}

#[derive(Deserialize)]
pub(super) struct CompanyQuery {
    #[serde(default)]
    workspace: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct TicketQuery {
    #[serde(default)]
    ticket: String,
}

/// The buttons of the providers that are offered.
pub(super) fn buttons(app: &App) -> Vec<ProviderButton> {
    let button =
        |provider: Provider| ProviderButton { key: provider.key(), name: provider.name().to_owned() };
    app.external.offered().into_iter().map(button).collect()
}

/// Off to one of the deployment's providers.
pub(super) async fn start(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    Path(path): Path<ProviderPath>,
    fields: Fields,
) -> Page {
    let provider = Provider::parse(&path.provider).ok_or(Error::NotFound)?;
    let next = safe_next(fields.get("next"));
    go(&app, &visitor, &address, provider, Purpose::LogIn, next).await
}

/// Begins a login and shows the page that leads there. A page, since a form may not lead away from this console.
pub(super) async fn go(
    app: &App,
    visitor: &Visitor,
    address: &ClientAddress,
    provider: Provider,
    purpose: Purpose,
    next: &str,
) -> Page {
    let network = address.network();
    match app.external.start(provider, purpose, next, &visitor.browser(), &network).await {
        Ok(url) => leave(app, visitor, provider, &url).await,
        Err(error @ (Error::Refused(_) | Error::TooMany(_) | Error::Busy)) => {
            failed(app, visitor, provider, purpose, &error, next).await
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn leave(app: &App, visitor: &Visitor, provider: Provider, url: &Url) -> Page {
    let name = provider_name(app, provider).await?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let focus = visitor.focus(&format!("Going to {name}")).await?;
    page(&LeavingPage { focus, name, host, url: url.to_string() })
}

/// What people call a provider: a company by its workspace.
async fn provider_name(app: &App, provider: Provider) -> Result<String> {
    match provider {
        Provider::Company(tenant) => Ok(tenants::by_id(&app.db, tenant).await?.name),
        known => Ok(known.name().to_owned()),
    }
}

/// Back from a provider.
pub(super) async fn callback(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<ProviderPath>,
    Query(callback): Query<Callback>,
) -> Page {
    let provider = Provider::parse(&path.provider).ok_or(Error::NotFound)?;
    let attempt = match app.external.back(provider, &callback, &visitor.browser()).await {
        Ok(attempt) => attempt,
        Err(error @ Error::Gone(_)) => {
            return failed(&app, &visitor, provider, Purpose::LogIn, &error, "").await;
        }
        Err(error) => return Err(error.into()),
    };
    let next = safe_next(&attempt.next).to_owned();
    let done = match attempt.purpose {
        Purpose::LogIn => log_in(&app, &visitor, &attempt, &callback, &next).await,
        Purpose::Link(_) => link(&app, &visitor, &attempt, &callback).await,
        Purpose::Test(_) => test(&app, &visitor, &attempt, &callback).await,
    };
    match done {
        Ok(page) => page,
        Err(error @ (Error::Refused(_) | Error::Gone(_) | Error::Busy)) => {
            failed(&app, &visitor, provider, attempt.purpose, &error, &next).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn log_in(
    app: &App,
    visitor: &Visitor,
    attempt: &Attempt,
    callback: &Callback,
    next: &str,
) -> Result<Page> {
    let profile = app.external.who(attempt, callback).await?;
    let browser = visitor.browser();
    let (arrival, factor) = match attempt.provider {
        Provider::Company(tenant) => {
            let arrival = app.external.arrive_at_company(tenant, profile, next, &browser).await?;
            (arrival, Factor::Company(tenant))
        }
        known => (app.external.arrive(known, profile, next, &browser).await?, Factor::External),
    };
    Ok(match arrival {
        Arrival::Known(user) => login::proved(app, visitor, &user, factor, next).await,
        Arrival::Confirm(ticket) => {
            see_other(&format!("/login/link?ticket={}", app.external.ticket(&ticket)?))
        }
    })
}

/// The identity becomes one of who asked for it, if they are still who is here.
async fn link(app: &App, visitor: &Visitor, attempt: &Attempt, callback: &Callback) -> Result<Page> {
    let user = asker(visitor, attempt.purpose)?;
    let profile = app.external.who(attempt, callback).await?;
    app.external.link(attempt.provider, &profile, user.id).await?;
    let about = format!("{} ({})", attempt.provider, profile.label);
    app.accounts.happened(user, Kind::IdentityLinked, &visitor.origin, &about).await?;
    flash(&visitor.session, format!("You can now log in with {}.", attempt.provider)).await?;
    Ok(see_other("/account/sign-in"))
}

/// A test login: what came of it stands in the settings, and nobody is logged in.
async fn test(app: &App, visitor: &Visitor, attempt: &Attempt, callback: &Callback) -> Result<Page> {
    let user = asker(visitor, attempt.purpose)?;
    let Provider::Company(tenant) = attempt.provider else { return Err(Error::NotFound) };
    let member = members::membership(&app.db, tenant, user.id).await?;
    let profile = app.external.who(attempt, callback).await;
    app.external.record_test(&member, profile).await?;
    Ok(see_other(&format!("{}#test", settings_of(app, attempt.provider).await?)))
}

fn asker(visitor: &Visitor, purpose: Purpose) -> Result<&User> {
    let (Purpose::Link(id) | Purpose::Test(id)) = purpose else { return Err(Error::NotFound) };
    visitor
        .user
        .as_ref()
        .filter(|user| user.id == id)
        .ok_or(Error::Gone("You logged out or in as somebody else meanwhile. Begin again."))
}

/// What went wrong, and the ways on. Logged, since it is often the provider's settings.
async fn failed(
    app: &App,
    visitor: &Visitor,
    provider: Provider,
    purpose: Purpose,
    error: &Error,
    next: &str,
) -> Page {
    let name = provider_name(app, provider).await.unwrap_or_else(|_| provider.name().to_owned());
    let text = sentence(error);
    tracing::warn!(provider = provider.key(), reason = text, "login elsewhere failed");
    let back = match purpose {
        Purpose::LogIn => ("Back to the login".to_owned(), login_address(next)),
        Purpose::Link(_) => ("Back to your account".to_owned(), "/account/sign-in".to_owned()),
        Purpose::Test(_) => ("Back to the settings".to_owned(), settings_of(app, provider).await?),
    };
    let focus = visitor.focus(&format!("{name} did not work")).await?;
    with_status(status_of(error), &SignInFailedPage { focus, name, text, back })
}

/// The page with a company's provider.
async fn settings_of(app: &App, provider: Provider) -> Result<String> {
    let Provider::Company(tenant) = provider else { return Ok("/workspaces".to_owned()) };
    Ok(format!("/w/{}/settings/sign-in", tenants::by_id(&app.db, tenant).await?.slug))
}

/// What somebody sees whose company wants its own provider.
pub(super) async fn required(app: &App, visitor: &Visitor, company: Company, next: &str) -> Page {
    let tenant = tenants::by_id(&app.db, company.tenant).await?;
    let focus = visitor.focus("Log in with your company").await?;
    page(&RequiredPage { focus, name: tenant.name, slug: tenant.slug.to_string(), next: next.to_owned() })
}

/// Asks for an address, or for a workspace's people offers its provider.
pub(super) async fn company_form(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query<CompanyQuery>,
) -> Page {
    let workspace = usable(&app, &query.workspace).await?;
    let focus = visitor.focus("Log in with your company").await?;
    page(&CompanyLoginPage { focus, workspace, next: query.next, email: Field::empty() })
}

/// The name and slug of a workspace that has a provider of its own.
async fn usable(app: &App, slug: &str) -> Result<Option<(String, String)>> {
    let tenant = match tenants::by_slug(&app.db, slug).await {
        Ok(tenant) => tenant,
        Err(Error::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let usable = app.external.is_usable(tenant.id).await?;
    Ok(usable.then(|| (tenant.name, tenant.slug.to_string())))
}

/// Off to a company's provider: of the workspace that was named, or of the address's domain. Who has none goes on to the
/// password.
pub(super) async fn company(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    fields: Fields,
) -> Page {
    let (slug, email, next) = (fields.get("workspace"), fields.get("email").trim(), fields.get("next"));
    let tenant = if slug.is_empty() {
        app.external.company_of(email).await?.map(|company| company.tenant)
    } else {
        match usable(&app, slug).await? {
            Some(_) => Some(tenants::by_slug(&app.db, slug).await?.id),
            None => None,
        }
    };
    match tenant {
        Some(tenant) => {
            let provider = Provider::Company(tenant);
            go(&app, &visitor, &address, provider, Purpose::LogIn, safe_next(next)).await
        }
        None => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("next", next);
            if email.len() <= 254 {
                query.append_pair("email", email);
            }
            see_other(&format!("/login?{}", query.finish()))
        }
    }
}

/// Asks whether the account, or the address, is theirs.
pub(super) async fn link_form(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query<TicketQuery>,
) -> Page {
    let ticket = app.external.open_ticket(&query.ticket, &visitor.browser())?;
    link_page(&app, &visitor, &ticket, query.ticket.clone(), None).await
}

async fn link_page(
    app: &App,
    visitor: &Visitor,
    ticket: &Ticket,
    text: String,
    problem: Option<&Error>,
) -> Page {
    // A company that requires its provider takes no other login; the mail is the way then.
    let company = matches!(ticket.provider, Provider::Company(_));
    let log_in = (ticket.verified && !company).then(|| {
        let back = format!("/account/sign-in/link?ticket={text}");
        format!("{}&switch=1", login_address(&back))
    });
    let state = OwnerQuestion::Ask { verified: ticket.verified, log_in };
    let view = LinkPage {
        focus: visitor.focus("Is this you?").await?,
        name: provider_name(app, ticket.provider).await?,
        email: ticket.email.clone(),
        ticket: text,
        error: problem.map(sentence),
        state,
        mailbox_url: app.mailbox_url.clone(),
    };
    with_status(problem.map_or(StatusCode::OK, status_of), &view)
}

/// Sends the mail.
pub(super) async fn mail_link(State(app): State<App>, visitor: Visitor, fields: Fields) -> Page {
    let text = fields.get("ticket");
    let ticket = app.external.open_ticket(text, &visitor.browser())?;
    if let Err(error @ Error::TooMany(_)) = app.external.mail_ticket(&ticket) {
        return link_page(&app, &visitor, &ticket, text.to_owned(), Some(&error)).await;
    }
    page(&LinkPage {
        focus: visitor.focus("Check your mail").await?,
        name: provider_name(&app, ticket.provider).await?,
        email: ticket.email,
        ticket: String::new(),
        error: None,
        state: OwnerQuestion::Sent,
        mailbox_url: app.mailbox_url.clone(),
    })
}

/// Shows a button and uses nothing: programs that look into mails open links before people do.
pub(super) async fn confirm_form(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query<TicketQuery>,
) -> Page {
    let ticket = app.external.open_mailed(&query.ticket, &visitor.browser())?;
    page(&LinkPage {
        focus: visitor.focus("Confirm that it is you").await?,
        name: provider_name(&app, ticket.provider).await?,
        email: ticket.email,
        ticket: query.ticket,
        error: None,
        state: OwnerQuestion::Ready,
        mailbox_url: None,
    })
}

/// The owner of the address says that it was them.
pub(super) async fn confirm(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    fields: Fields,
) -> Page {
    let (ticket, user) = app.external.use_mailed(fields.get("ticket"), &visitor.browser()).await?;
    let about = format!("{} ({})", ticket.provider, ticket.label);
    app.accounts.happened(&user, Kind::IdentityLinked, &visitor.origin, &about).await?;
    let next = safe_next(&ticket.next);
    match ticket.provider {
        // The provider knows them now, and says with the next login which groups they are in.
        provider @ Provider::Company(_) => go(&app, &visitor, &address, provider, Purpose::LogIn, next).await,
        _ => login::proved(&app, &visitor, &user, Factor::External, next).await,
    }
}
