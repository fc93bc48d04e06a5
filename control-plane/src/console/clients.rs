//! OAuth clients of the workspace, for those who decide about them.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use time::OffsetDateTime;

use super::App;
use super::connected_apps::in_force;
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::Workspace;
use super::view::{
    Choice, ClientCreatedPage, ClientNewPage, ClientPage, ClientRow, ClientRulesPage, ClientState,
    ClientsPage, Field, Moment, Nav, PolicyChoice, RefusalRow, RefusalsPage, SecretFact, Tabs, Vouched,
};
use crate::accounts::members::Permission;
use crate::error::{Error, Result};
use crate::oauth::clients::admin::{self, Details, Listed};
use crate::oauth::clients::manual::{Keys, NewClient};
use crate::oauth::clients::policy::{self, Policy};
use crate::oauth::clients::{AuthMethod, Client, Kind, Standing, host_of};
use crate::oauth::refusals;
use crate::revocations::Recorded;

#[derive(Deserialize)]
pub(super) struct ClientPath {
    client: String,
}

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    let rows = admin::list(&app.db, &at.member).await?;
    page(&ClientsPage {
        shell: at.shell("Clients", Nav::Clients).await?,
        tabs: Tabs::clients(at.path("/clients"), ""),
        rows: rows.iter().map(row).collect(),
    })
}

pub(super) async fn show(State(app): State<App>, at: Workspace, Path(path): Path<ClientPath>) -> Page {
    let details = admin::details(&app.db, &at.member, &path.client).await?;
    let redirects = Field::of(details.client.redirect_uris.join("\n"));
    page(&details_view(&at, &details, redirects).await?)
}

pub(super) async fn allow(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<ClientPath>,
    _fields: Fields,
) -> Page {
    let (client, _) = admin::set_standing(&app.db, &at.member, &path.client, Standing::Allowed).await?;
    at.flash(format!("{} is allowed. Members can connect it now.", client.name)).await?;
    see_other(&at.path("/clients"))
}

pub(super) async fn block(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<ClientPath>,
    _fields: Fields,
) -> Page {
    let (client, ended) = admin::set_standing(&app.db, &at.member, &path.client, Standing::Blocked).await?;
    at.flash(format!("{} is blocked. {}", client.name, told(&app, &at, &ended).await)).await?;
    see_other(&at.path("/clients"))
}

pub(super) async fn delete(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<ClientPath>,
    _fields: Fields,
) -> Page {
    at.visitor.require_recent(&at.path(&format!("/clients/{}", path.client)))?;
    let (client, ended) = admin::delete(&app.db, &at.member, &path.client).await?;
    at.flash(format!("{} is deleted. {}", client.name, told(&app, &at, &ended).await)).await?;
    see_other(&at.path("/clients"))
}

pub(super) async fn set_redirects(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<ClientPath>,
    fields: Fields,
) -> Page {
    let text = fields.get("redirects");
    match admin::set_redirects(&app.db, &at.member, &path.client, lines(text)).await {
        Ok(()) => {
            at.flash("The redirect URIs are saved.").await?;
            see_other(&at.path(&format!("/clients/{}", path.client)))
        }
        Err(Error::Field { message, .. }) => {
            let details = admin::details(&app.db, &at.member, &path.client).await?;
            let view = details_view(&at, &details, Field::of(text).refused(message)).await?;
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn new_secret(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<ClientPath>,
    fields: Fields,
) -> Page {
    let own = at.path(&format!("/clients/{}", path.client));
    at.visitor.require_recent(&own)?;
    let overlap = fields.get("overlap");
    let (client, secret) = admin::rotate_secret(&app.db, &at.member, &path.client, overlap).await?;
    let before = match overlap {
        "0" => "The secret before it is refused from now on.",
        _ => "The secret before it stays good for the time that you chose.",
    };
    created(&at, format!("New secret of {}", client.name), &client, Some(&secret), own, before).await
}

pub(super) async fn new_form(at: Workspace) -> Page {
    at.member.require(Permission::Clients)?;
    at.visitor.require_recent(&at.path("/clients/new"))?;
    page(&blank(&at, AuthMethod::None.as_str()).await?)
}

pub(super) async fn create(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    at.visitor.require_recent(&at.path("/clients/new"))?;
    match create_from(&app, &at, &fields).await {
        Ok((client, secret)) => {
            let title = format!("{} is registered", client.name);
            created(&at, title, &client, secret.as_ref(), at.path("/clients"), "").await
        }
        Err(Error::Field { field, message }) => {
            let mut form = blank(&at, fields.get("method")).await?;
            form.name = Field::of(fields.get("name"));
            form.redirects = Field::of(fields.get("redirects"));
            form.keys = Field::of(fields.get("keys"));
            match field {
                "name" => form.name = form.name.refused(message),
                "redirects" => form.redirects = form.redirects.refused(message),
                "keys" => form.keys = form.keys.refused(message),
                _ => form.problem = Some(message),
            }
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &form)
        }
        Err(error) => Err(error.into()),
    }
}

async fn create_from(app: &App, at: &Workspace, fields: &Fields) -> Result<(Client, Option<SecretString>)> {
    let auth_method: AuthMethod = fields
        .get("method")
        .parse()
        .map_err(|_| Error::field("method", "Choose how the client proves who it is."))?;
    let keys = match auth_method {
        AuthMethod::PrivateKeyJwt => Keys::parse(fields.get("keys"))?,
        _ => Keys::default(),
    };
    let new = NewClient {
        name: fields.get("name").to_owned(),
        redirect_uris: lines(fields.get("redirects")),
        auth_method,
        keys,
        grant_types: vec!["authorization_code".to_owned(), "refresh_token".to_owned()],
    };
    admin::create(&app.db, &at.member, new).await
}

pub(super) async fn rules(State(app): State<App>, at: Workspace) -> Page {
    let rules = policy::rules(&app.db, &at.member).await?;
    page(&rules_view(&at, rules.policy.as_str(), Field::of(rules.hosts.join("\n"))).await?)
}

pub(super) async fn set_rules(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let (word, hosts) = (fields.get("policy"), fields.get("hosts"));
    match policy::set_rules(&app.db, &at.member, word, hosts).await {
        Ok(()) => {
            at.flash("The rule is saved. It holds for the next client that somebody connects.").await?;
            see_other(&at.path("/settings/clients"))
        }
        Err(Error::Field { field, message }) => {
            let mut view = rules_view(&at, word, Field::of(hosts)).await?;
            if field == "hosts" {
                view.hosts = view.hosts.refused(message);
            } else {
                view.problem = Some(message);
            }
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn problems(State(app): State<App>, at: Workspace) -> Page {
    let now = OffsetDateTime::now_utc();
    let kept = refusals::latest(&app.db, &at.member).await?;
    let row = |kept: refusals::Kept| RefusalRow {
        at: Moment::new(kept.at, now),
        doing: doing(&kept.endpoint),
        client: client_label(&kept),
        advice: refusals::advice(&kept.endpoint, &kept.error),
        reason: kept.reason,
        error: kept.error,
        from: kept.remote_addr,
        times: kept.times,
    };
    page(&RefusalsPage {
        shell: at.shell("Sign-in problems", Nav::Clients).await?,
        tabs: Tabs::clients(at.path("/clients"), "/refusals"),
        rows: kept.into_iter().map(row).collect(),
    })
}

/// What became of what a client held.
async fn told(app: &App, at: &Workspace, ended: &Recorded) -> String {
    if ended.sequences.is_empty() {
        return "It held nothing that had to end.".to_owned();
    }
    format!("What it held has ended. {}", in_force(app, at, ended).await)
}

fn doing(endpoint: &str) -> &'static str {
    match endpoint {
        "authorize" => "log in",
        "token" => "get a token",
        "register" => "register",
        _ => "give a token back",
    }
}

/// The client's name; of one that nobody knows, what it says of itself.
fn client_label(kept: &refusals::Kept) -> String {
    if !kept.client_name.is_empty() {
        return kept.client_name.clone();
    }
    match kept.client_id.as_str() {
        "" => "Unknown client".to_owned(),
        id if id.starts_with("https://") => host_of(id).unwrap_or_else(|| id.to_owned()),
        id if id.chars().count() > 24 => format!("{}…", id.chars().take(24).collect::<String>()),
        id => id.to_owned(),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn row(listed: &Listed) -> ClientRow {
    let now = OffsetDateTime::now_utc();
    ClientRow {
        handle: listed.handle.clone(),
        name: listed.name.clone(),
        vouched: match listed.kind {
            Kind::MetadataDocument => {
                Vouched::Host(host_of(&listed.client_id).unwrap_or_else(|| listed.client_id.clone()))
            }
            Kind::Manual => Vouched::Admin,
            Kind::Registered => Vouched::Nobody,
        },
        hosts: policy::redirect_hosts(&listed.redirect_uris),
        state: match listed.standing {
            Standing::Allowed => ClientState::Allowed,
            Standing::Blocked => ClientState::Blocked,
            Standing::Pending => ClientState::Waiting,
        },
        first_seen: Moment::new(listed.first_seen_at, now),
        last_seen: listed.last_seen_at.map(|at| Moment::new(at, now)),
        users: listed.users,
        registrations: listed.registrations,
    }
}

async fn details_view(at: &Workspace, details: &Details, redirects_form: Field) -> Result<ClientPage> {
    let now = OffsetDateTime::now_utc();
    let client = &details.client;
    let keys = client.jwks_uri.clone().or_else(|| {
        let count = client.jwks.as_ref()?.get("keys")?.as_array()?.len();
        Some(if count == 1 { "1 public key".to_owned() } else { format!("{count} public keys") })
    });
    let secret = |secret: &admin::Secret| SecretFact {
        last4: secret.last4.clone(),
        made: Moment::new(secret.created_at, now),
        ends: secret.expires_at.map(|at| Moment::new(at, now)),
    };
    let overlap = |(value, label): (&str, &str)| Choice::new(value, label, "86400");
    let labels =
        ["is refused at once", "stays good for an hour", "stays good for a day", "stays good for a week"];
    Ok(ClientPage {
        shell: at.shell(&client.name, Nav::Clients).await?,
        row: row(&details.listed),
        client_id: client.client_id.clone(),
        proves: proves(client.auth_method).to_owned(),
        redirects: client.redirect_uris.clone(),
        keys,
        created_by: details.listed.created_by.clone(),
        by_hand: client.kind == Kind::Manual,
        uses_secret: client.auth_method.uses_secret(),
        secrets: details.secrets.iter().map(secret).collect(),
        overlaps: admin::OVERLAPS.iter().map(|(word, _)| *word).zip(labels).map(overlap).collect(),
        redirects_form,
    })
}

const fn proves(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::None => "by nothing: it is a public client, protected by its redirect and a proof key",
        AuthMethod::SecretBasic | AuthMethod::SecretPost => "by a secret",
        AuthMethod::PrivateKeyJwt => "by signing each request with its key",
    }
}

async fn blank(at: &Workspace, method: &str) -> Result<ClientNewPage> {
    let methods = [
        (AuthMethod::None, "Nothing: it runs on people's computers and can keep no secret"),
        (AuthMethod::SecretBasic, "A secret, which is shown once"),
        (AuthMethod::PrivateKeyJwt, "A signature with its own key"),
    ];
    let choice = |(value, label): (AuthMethod, &str)| Choice::new(value.as_str(), label, method);
    Ok(ClientNewPage {
        shell: at.shell("Register a client", Nav::Clients).await?,
        name: Field::empty(),
        redirects: Field::empty(),
        methods: methods.map(choice).into(),
        keys: Field::empty(),
        problem: None,
    })
}

async fn created(
    at: &Workspace,
    title: String,
    client: &Client,
    secret: Option<&SecretString>,
    next: String,
    before: &str,
) -> Page {
    page(&ClientCreatedPage {
        shell: at.shell(&title, Nav::Clients).await?,
        name: client.name.clone(),
        client_id: client.client_id.clone(),
        secret: secret.map(|secret| secret.expose_secret().to_owned()),
        next,
        before: before.to_owned(),
    })
}

async fn rules_view(at: &Workspace, current: &str, hosts: Field) -> Result<ClientRulesPage> {
    let choice = |(policy, label, meaning): (Policy, &'static str, &'static str)| PolicyChoice {
        value: policy.as_str(),
        label,
        meaning,
        chosen: policy.as_str() == current,
    };
    let policies = [
        (
            Policy::Open,
            "Any client",
            "Members decide for themselves, on a page that says what the client may do.",
        ),
        (
            Policy::Approve,
            "Clients that an admin has allowed",
            "The first member who asks for one has to wait for you.",
        ),
        (Policy::Hosts, "Clients of the hosts below", "Any other waits for you under Clients."),
    ];
    Ok(ClientRulesPage {
        shell: at.shell("Settings", Nav::Settings).await?,
        tabs: Tabs::settings(at.path("/settings"), "/clients"),
        policies: policies.map(choice).into(),
        hosts,
        problem: None,
    })
}
