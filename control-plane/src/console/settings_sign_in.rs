//! How a workspace's people log in: its own provider, its domains, trying the provider and requiring it.

use axum::extract::State;
use axum::http::StatusCode;
use time::OffsetDateTime;
use toolmesh_proto::ids::UserId;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, sentence, status_of, with_status};
use super::session::{Workspace, person};
use super::sign_in;
use super::view::{
    Choice, DomainRow, Field, Moment, Nav, OwnerRow, ProviderForm, ProviderState, SignInSettingsPage, Tabs,
    TestResult,
};
use crate::accounts::external::Purpose;
use crate::accounts::external::company::{Change, Overview, Report, Settings};
use crate::accounts::external::domains::Domain;
use crate::accounts::external::providers::Provider;
use crate::accounts::members::Role;
use crate::error::{Error, Result};
use crate::peer::ClientAddress;

const HERE: &str = "/settings/sign-in";

/// What was typed and refused, for the page that shows it again.
#[derive(Default)]
struct Typed {
    provider: Option<ProviderForm>,
    domain: Field,
    error: Option<String>,
}

pub(super) async fn show(State(app): State<App>, at: Workspace) -> Page {
    page(&view(&app, &at, Typed::default()).await?)
}

pub(super) async fn save(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    at.visitor.require_recent(&at.path(HERE))?;
    let role = fields.get("default_role").parse().unwrap_or(Role::Member);
    let change = Change {
        issuer: fields.get("issuer").to_owned(),
        client_id: fields.get("client_id").to_owned(),
        secret: fields.secret("client_secret"),
        groups_claim: fields.get("groups_claim").to_owned(),
        default_role: role,
    };
    match app.external.save_company(&at.member, change).await {
        Ok(()) => done(&at, "The provider is saved. Test the login before anybody relies on it.").await,
        Err(error @ (Error::Field { .. } | Error::Refused(_))) => {
            let mut form = ProviderForm {
                issuer: Field::of(fields.get("issuer")),
                client_id: Field::of(fields.get("client_id")),
                client_secret: Field::empty(),
                groups_claim: Field::of(fields.get("groups_claim")),
                roles: roles(role),
            };
            let mut typed = Typed::default();
            match &error {
                Error::Field { field: "issuer", message } => form.issuer = form.issuer.refused(message),
                Error::Field { field: "client_id", message } => {
                    form.client_id = form.client_id.refused(message)
                }
                Error::Field { field: "client_secret", message } => {
                    form.client_secret = form.client_secret.refused(message);
                }
                Error::Field { field: "groups_claim", message } => {
                    form.groups_claim = form.groups_claim.refused(message);
                }
                error => typed.error = Some(sentence(error)),
            }
            typed.provider = Some(form);
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &at, typed).await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Off to the provider as it is set now, to see what it says of whoever asks.
pub(super) async fn test(
    State(app): State<App>,
    at: Workspace,
    address: ClientAddress,
    _fields: Fields,
) -> Page {
    // Asked here since what comes back is kept for the workspace.
    app.external.company(&at.member).await?;
    let provider = Provider::Company(at.tenant.id);
    let started = app
        .external
        .start(provider, Purpose::Test(at.user.id), "", &at.visitor.browser(), &address.network())
        .await;
    match started {
        Ok(url) => sign_in::leave(&app, &at.visitor, provider, &url).await,
        Err(error @ Error::Refused(_)) => again(&app, &at, &error).await,
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn require(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    at.visitor.require_recent(&at.path(HERE))?;
    let exempt: Vec<UserId> = fields.all("exempt").filter_map(|id| id.parse().ok()).collect();
    match app.external.enforce(&at.member, &exempt).await {
        Ok(()) => done(&at, "From now on your people log in through your provider.").await,
        Err(error @ Error::Refused(_)) => again(&app, &at, &error).await,
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn relax(State(app): State<App>, at: Workspace, _fields: Fields) -> Page {
    at.visitor.require_recent(&at.path(HERE))?;
    app.external.relax(&at.member).await?;
    done(&at, "The provider is no longer required. It can still be used.").await
}

pub(super) async fn remove(State(app): State<App>, at: Workspace, _fields: Fields) -> Page {
    at.visitor.require_recent(&at.path(HERE))?;
    match app.external.remove_company(&at.member).await {
        Ok(()) => done(&at, "The provider is removed. Members log in as they did before.").await,
        Err(error @ Error::Refused(_)) => again(&app, &at, &error).await,
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn add_domain(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    match app.external.add_domain(&at.member, fields.get("domain")).await {
        Ok(()) => done(&at, "The domain is added. Make its record, then check it.").await,
        Err(Error::Field { message, .. }) => {
            let domain = Field::of(fields.get("domain")).refused(message);
            let typed = Typed { domain, ..Typed::default() };
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &at, typed).await?)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn check_domain(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let domain = fields.get("domain");
    match app.external.check_domain(&at.member, domain).await {
        Ok(()) => done(&at, format!("{domain} is proven to be yours.")).await,
        Err(error @ (Error::Refused(_) | Error::TooMany(_))) => again(&app, &at, &error).await,
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn remove_domain(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    at.visitor.require_recent(&at.path(HERE))?;
    match app.external.remove_domain(&at.member, fields.get("domain")).await {
        Ok(()) => done(&at, "The domain is removed.").await,
        Err(error @ Error::Refused(_)) => again(&app, &at, &error).await,
        Err(error) => Err(error.into()),
    }
}

async fn done(at: &Workspace, text: impl Into<String>) -> Page {
    at.flash(text).await?;
    see_other(&at.path(HERE))
}

async fn again(app: &App, at: &Workspace, error: &Error) -> Page {
    let typed = Typed { error: Some(sentence(error)), ..Typed::default() };
    with_status(status_of(error), &view(app, at, typed).await?)
}

async fn view(app: &App, at: &Workspace, typed: Typed) -> Result<SignInSettingsPage> {
    let Overview { settings, domains, owners } = app.external.company(&at.member).await?;
    let now = OffsetDateTime::now_utc();
    let owner = |owner: crate::accounts::external::company::Owner| OwnerRow {
        id: owner.user_id.to_string(),
        person: person(&owner.name, &owner.email),
        able: owner.is_able(),
        lacks: match (owner.has_password, owner.has_second_factor) {
            (true, true) => "",
            (false, true) => "has no password",
            (true, false) => "has no second factor",
            (false, false) => "has neither a password nor a second factor",
        },
        chosen: owner.exempt,
        you: owner.user_id == at.user.id,
    };
    let form = typed.provider.unwrap_or_else(|| form(settings.as_ref()));
    Ok(SignInSettingsPage {
        shell: at.shell("Settings", Nav::Settings).await?,
        tabs: Tabs::settings(at.path("/settings"), "/sign-in"),
        prove: at.prove(HERE),
        redirect_uri: app.external.redirect_uri(Provider::Company(at.tenant.id)),
        login_url: format!("{}/login/company?workspace={}", app.console_origin, at.tenant.slug),
        has_domain: domains.iter().any(|domain| domain.verified_at.is_some()),
        domains: domains.iter().map(|domain| row(domain, now)).collect(),
        provider: settings.as_ref().map(|settings| state(settings, now)),
        owners: owners.into_iter().map(owner).collect(),
        form,
        domain: typed.domain,
        error: typed.error,
    })
}

fn form(settings: Option<&Settings>) -> ProviderForm {
    match settings {
        None => ProviderForm {
            issuer: Field::empty(),
            client_id: Field::empty(),
            client_secret: Field::empty(),
            groups_claim: Field::of("groups"),
            roles: roles(Role::Member),
        },
        Some(settings) => ProviderForm {
            issuer: Field::of(settings.issuer.clone()),
            client_id: Field::of(settings.client_id.clone()),
            client_secret: Field::empty(),
            groups_claim: Field::of(settings.groups_claim.clone()),
            roles: roles(settings.default_role),
        },
    }
}

/// Roles that a first login may give.
fn roles(current: Role) -> Vec<Choice> {
    let words = [
        (Role::Member, "Member"),
        (Role::Auditor, "Auditor"),
        (Role::Billing, "Billing"),
        (Role::ConnectorManager, "Connector manager"),
        (Role::Admin, "Admin"),
    ];
    words.into_iter().map(|(role, word)| Choice::new(role.as_str(), word, current.as_str())).collect()
}

fn row(domain: &Domain, now: OffsetDateTime) -> DomainRow {
    DomainRow {
        domain: domain.domain.clone(),
        record_name: domain.record_name(),
        record_value: domain.record_value(),
        verified: domain.verified_at.map(|at| Moment::new(at, now)),
        by_operator: domain.verified_by.as_deref() == Some("operator"),
    }
}

fn state(settings: &Settings, now: OffsetDateTime) -> ProviderState {
    let result = |report: &Report| TestResult {
        problem: report.problem.clone(),
        email: report.email.clone(),
        groups: report.groups.clone(),
        claims: report.claims.clone(),
        at: Moment::new(settings.tested_at.unwrap_or(now), now),
        stale: !settings.is_tested(),
    };
    ProviderState {
        secret_last4: settings.secret_last4.clone(),
        test: settings.test_report.as_ref().map(result),
        passed: settings.has_passed(),
        required: settings.enforced_at.map(|at| Moment::new(at, now)),
        role: settings.default_role.with_article().to_owned(),
    }
}
