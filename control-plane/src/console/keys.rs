//! API keys: of members here, of service accounts on their pages, and one key by itself.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::ApiKeyId;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::{Workspace, person};
use super::view::{
    Choice, Field, KeyCreatedPage, KeyForm, KeyPage, KeyRow, KeyState, KeysPage, Moment, Nav, Tabs,
};
use crate::accounts::events::Kind;
use crate::accounts::keys::{self, ApiKey, Draft, Grace, KeyScope, Life, NewKey};
use crate::accounts::members::Permission;
use crate::error::{Error, Result};

#[derive(Deserialize)]
pub(super) struct KeyPath {
    id: String,
}

impl KeyPath {
    fn id(&self) -> Result<ApiKeyId> {
        self.id.parse().map_err(|_| Error::NotFound)
    }
}

pub(super) async fn list(State(app): State<App>, at: Workspace) -> Page {
    page(&view(&app, &at, form(at.path("/keys"), None)).await?)
}

pub(super) async fn create(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let action = at.path("/keys");
    at.visitor.require_recent(&action)?;
    match make(&app, &at, Subject::User(at.user.id), &fields).await {
        Ok(made) => shown_once(&at, made, action, fields.get("expires") == "never", None).await,
        Err(Error::Field { message, .. }) => {
            let form = form(action, Some((&fields, message)));
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view(&app, &at, form).await?)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn show(State(app): State<App>, at: Workspace, Path(path): Path<KeyPath>) -> Page {
    let (key, rolls) = keys::get(&app.db, &at.member, path.id()?).await?;
    let now = OffsetDateTime::now_utc();
    let graces = Grace::CHOICES.into_iter().map(|grace| {
        let hours = grace.hours();
        Choice::new(hours.to_string(), grace_word(hours), &Grace::DEFAULT.hours().to_string())
    });
    page(&KeyPage {
        shell: at.shell(&key.name, Nav::Keys).await?,
        rolls: rolls && !key.has_ended(now),
        graces: graces.collect(),
        back: back(&at, &key),
        prove: at.prove(&format!("/keys/{}", key.id)),
        row: row(&at, key),
    })
}

pub(super) async fn roll(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<KeyPath>,
    fields: Fields,
) -> Page {
    at.visitor.require_recent(&at.path(&format!("/keys/{}", path.id()?)))?;
    let grace: Grace = fields.get("grace").parse()?;
    let (key, _) = keys::get(&app.db, &at.member, path.id()?).await?;
    let made = keys::roll(&app.db, &at.member, key.id, grace).await?;
    let now = OffsetDateTime::now_utc();
    let until = Some(grace.hours()).filter(|hours| *hours > 0);
    let until = until.map(|hours| Moment::new(now + Duration::hours(hours), now));
    shown_once(&at, made, back(&at, &key).1, key.expires_at.is_none(), until).await
}

pub(super) async fn revoke(
    State(app): State<App>,
    at: Workspace,
    Path(path): Path<KeyPath>,
    _fields: Fields,
) -> Page {
    let key = keys::revoke(&app.db, &at.member, path.id()?).await?;
    let about = format!("{} in {}", key.name, at.tenant.name);
    app.accounts.happened(&at.user, Kind::KeyRevoked, &at.visitor.origin, &about).await?;
    at.flash("The key is revoked. Whatever used it gets an error from now on.").await?;
    see_other(&back(&at, &key).1)
}

/// Makes a key from what the form says.
pub(super) async fn make(app: &App, at: &Workspace, owner: Subject, fields: &Fields) -> Result<NewKey> {
    // What is not said is what the form begins with, so that a script that only sends a name goes on working.
    let or = |name: &'static str, usual: String| match fields.get(name) {
        "" => usual,
        given => given.to_owned(),
    };
    let draft = Draft {
        name: fields.get("name"),
        scope: or("scope", KeyScope::All.as_str().to_owned()).parse()?,
        life: or("expires", Life::DEFAULT.to_string()).parse()?,
    };
    let made = keys::create(&app.db, &at.member, owner, &draft).await?;
    let about = format!("{} in {}", made.name, at.tenant.name);
    app.accounts.happened(&at.user, Kind::KeyMade, &at.visitor.origin, &about).await?;
    Ok(made)
}

/// The page that shows a secret, this once.
pub(super) async fn shown_once(
    at: &Workspace,
    made: NewKey,
    back: String,
    endless: bool,
    old_until: Option<Moment>,
) -> Page {
    page(&KeyCreatedPage {
        shell: at.shell("New key", Nav::Keys).await?,
        name: made.name,
        key: made.secret.expose_secret().to_owned(),
        back,
        old_until,
        endless,
    })
}

/// The form for a new key, empty or with what was typed and what was wrong.
pub(super) fn form(action: String, sent: Option<(&Fields, String)>) -> KeyForm {
    let said = |name: &str| sent.as_ref().map(|(fields, _)| fields.get(name)).filter(|v| !v.is_empty());
    let usual = Life::DEFAULT.to_string();
    let expires = said("expires").unwrap_or(&usual);
    let scope = said("scope").unwrap_or(KeyScope::All.as_str());
    let life = |life: Life| {
        let label = match life {
            Life::Days(days) => format!("after {days} days"),
            Life::Endless => "never".to_owned(),
        };
        Choice::new(life.to_string(), label, expires)
    };
    let name = Field::of(said("name").unwrap_or_default());
    KeyForm {
        action,
        expires: Life::CHOICES.into_iter().map(life).collect(),
        scope: vec![
            Choice::new(KeyScope::All.as_str(), "All tools", scope),
            Choice::new(KeyScope::Read.as_str(), "Reading only", scope),
        ],
        name: match sent {
            Some((_, error)) => name.refused(error),
            None => name,
        },
    }
}

/// One key as lists show it.
pub(super) fn row(at: &Workspace, key: ApiKey) -> KeyRow {
    let now = OffsetDateTime::now_utc();
    let moment = |at: OffsetDateTime| Moment::new(at, now);
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => KeyState::Revoked(moment(at)),
        (None, Some(at)) if at <= now => KeyState::Expired(moment(at)),
        (None, ends) => KeyState::Works(ends.map(moment)),
    };
    KeyRow {
        id: key.id.to_string(),
        yours: key.is_of(at.user.id),
        owner: person(&key.owner, &key.owner_email),
        read_only: key.scope == KeyScope::Read,
        name: key.name,
        prefix: key.prefix,
        last4: key.last4,
        created: moment(key.created_at),
        last_used: key.last_used_at.map(moment),
        last_used_from: key.last_used_from.unwrap_or_default(),
        old_until: key.previous_until.filter(|until| *until > now).map(moment),
        state,
    }
}

/// The list that a key stands in: its name and path.
fn back(at: &Workspace, key: &ApiKey) -> (String, String) {
    match key.service_account() {
        Some(account) => (key.owner.clone(), at.path(&format!("/service-accounts/{account}"))),
        None => ("Keys".to_owned(), at.path("/keys")),
    }
}

fn grace_word(hours: i64) -> String {
    match hours {
        0 => "at once".to_owned(),
        1 => "after 1 hour".to_owned(),
        24 => "after 24 hours".to_owned(),
        hours => format!("after {} days", hours / 24),
    }
}

/// The pages beside the keys, for who may see them.
pub(super) fn tabs(at: &Workspace, current: &'static str) -> Option<Tabs> {
    at.member.may(Permission::Members).then(|| Tabs::keys(at.path(""), current))
}

async fn view(app: &App, at: &Workspace, form: KeyForm) -> Result<KeysPage> {
    let found = keys::list(&app.db, &at.member).await?;
    Ok(KeysPage {
        shell: at.shell("Keys", Nav::Keys).await?,
        tabs: tabs(at, "/keys"),
        rows: found.into_iter().map(|key| row(at, key)).collect(),
        form,
        prove: at.prove("/keys"),
    })
}
