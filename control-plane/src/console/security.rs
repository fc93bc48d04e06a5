//! A person's own second factors: the authenticator app, passkeys, recovery codes.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use time::OffsetDateTime;
use tower_sessions::Session;

use super::App;
use super::forms::Fields;
use super::login;
use super::respond::{Page, page, see_other, sentence, status_of, with_status};
use super::session::{self, LoggedIn, safe_next};
use super::view::{
    AppPage, AppState, AskingWorkspace, CodesPage, Field, Moment, NewCodesPage, PasskeyRow, SecurityPage,
    Tabs,
};
use crate::accounts::factors::recovery::{CODES, NewCodes};
use crate::accounts::factors::{Held, Which, requirement};
use crate::error::{Error, Result};

const HERE: &str = "/account/security";
const CODES_PAGE: &str = "/account/security/recovery-codes";

/// Where somebody was going when a workspace asked for a second factor.
const ON_THE_WAY: &str = "second_factor_next";
/// The app that is being set up, sealed.
const SETUP: &str = "authenticator_setup";

#[derive(Deserialize)]
pub(super) struct Links {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct PasskeyPath {
    id: String,
}

pub(super) async fn show(State(app): State<App>, who: LoggedIn, Query(links): Query<Links>) -> Page {
    if !links.next.is_empty() && links.next.len() <= 4000 {
        let next = safe_next(&links.next);
        who.visitor.session.insert(ON_THE_WAY, next).await.map_err(Error::internal)?;
    }
    who.visitor.require_recent(HERE)?;
    page(&view(&app, &who).await?)
}

/// The picture and text for an app.
pub(super) async fn app_form(State(app): State<App>, who: LoggedIn) -> Page {
    who.visitor.require_recent(HERE)?;
    if app.factors.held(who.user.id).await?.app.is_some() {
        return see_other(HERE);
    }
    page(&app_view(&app, &who, Field::empty(), None).await?)
}

pub(super) async fn enable_app(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    who.visitor.require_recent(HERE)?;
    let session = &who.visitor.session;
    let setup: Option<String> = session.get(SETUP).await.map_err(Error::internal)?;
    let code = fields.get("code");
    let setup = setup.unwrap_or_default();
    match app.factors.enable_app(&who.user, &setup, code, &who.visitor.origin).await {
        Ok(codes) => {
            session.remove_value(SETUP).await.map_err(Error::internal)?;
            match codes {
                Some(codes) => show_codes(&who, codes, "The authenticator app is set up").await,
                None => done(&who, "The authenticator app is set up.").await,
            }
        }
        Err(Error::Field { message, .. }) => {
            let view = app_view(&app, &who, Field::of(code).refused(message), None).await?;
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error @ Error::Refused(_)) => {
            let view = app_view(&app, &who, Field::of(code), Some(sentence(&error))).await?;
            with_status(status_of(&error), &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn remove_app(State(app): State<App>, who: LoggedIn, _fields: Fields) -> Page {
    who.visitor.require_recent(HERE)?;
    match app.factors.remove(&who.user, Which::App, &who.visitor.origin).await {
        // It was pressed twice, or in two windows.
        Err(Error::NotFound) => see_other(HERE),
        removed => after_removal(&app, &who, removed, "The authenticator app is removed.").await,
    }
}

/// The question for a new passkey.
pub(super) async fn passkey_options(State(app): State<App>, who: LoggedIn, _fields: Fields) -> Page {
    who.visitor.require_recent(HERE)?;
    let (question, ceremony) = app.factors.begin_passkey(&who.user).await?;
    login::keep_ceremony(&who.visitor.session, &ceremony).await?;
    Ok(Json(question).into_response())
}

pub(super) async fn add_passkey(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    who.visitor.require_recent(HERE)?;
    let ceremony = login::take_ceremony(&who.visitor.session).await?;
    let name = fields.get("name");
    match app
        .factors
        .add_passkey(&who.user, ceremony, name, fields.get("credential"), &who.visitor.origin)
        .await
    {
        Ok(true) => see_other(CODES_PAGE),
        Ok(false) => done(&who, "The passkey is added.").await,
        Err(error @ (Error::Field { .. } | Error::Refused(_))) => {
            let mut view = view(&app, &who).await?;
            view.new_passkey = Field::of(name).refused(sentence(&error));
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn rename_passkey(
    State(app): State<App>,
    who: LoggedIn,
    Path(path): Path<PasskeyPath>,
    fields: Fields,
) -> Page {
    who.visitor.require_recent(HERE)?;
    match app.factors.rename_passkey(who.user.id, path.id.parse()?, fields.get("name")).await {
        Ok(()) => done(&who, "The passkey has its new name.").await,
        Err(Error::Field { message, .. }) => {
            let mut view = view(&app, &who).await?;
            if let Some(row) = view.passkeys.iter_mut().find(|row| row.id == path.id) {
                row.rename = Some(Field::of(fields.get("name")).refused(message));
            }
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn remove_passkey(
    State(app): State<App>,
    who: LoggedIn,
    Path(path): Path<PasskeyPath>,
    _fields: Fields,
) -> Page {
    who.visitor.require_recent(HERE)?;
    let removed = app.factors.remove(&who.user, Which::Passkey(path.id.parse()?), &who.visitor.origin).await;
    after_removal(&app, &who, removed, "The passkey is removed. Delete it on your device too.").await
}

/// How many codes are left, and a button for new ones.
pub(super) async fn codes(State(app): State<App>, who: LoggedIn) -> Page {
    who.visitor.require_recent(HERE)?;
    let held = app.factors.held(who.user.id).await?;
    if !held.any() {
        return see_other(HERE);
    }
    let focus = who.visitor.focus("Recovery codes").await?;
    page(&CodesPage { focus, tabs: Tabs::account("/security"), left: held.codes_left })
}

pub(super) async fn new_codes(State(app): State<App>, who: LoggedIn, _fields: Fields) -> Page {
    who.visitor.require_recent(HERE)?;
    match app.factors.new_codes(&who.user, &who.visitor.origin).await {
        Ok(codes) => show_codes(&who, codes, "Your recovery codes").await,
        Err(Error::Refused(_)) => see_other(HERE),
        Err(error) => Err(error.into()),
    }
}

async fn show_codes(who: &LoggedIn, codes: NewCodes, title: &str) -> Page {
    let codes = codes.0.iter().map(|code| code.expose_secret().to_owned()).collect();
    let next = on_the_way(&who.visitor.session).await?;
    page(&NewCodesPage {
        focus: who.visitor.focus(title).await?,
        tabs: Tabs::account("/security"),
        email: who.user.email.clone(),
        codes,
        next: next.unwrap_or_else(|| HERE.to_owned()),
    })
}

async fn done(who: &LoggedIn, text: &str) -> Page {
    session::flash(&who.visitor.session, text).await?;
    see_other(HERE)
}

async fn after_removal(app: &App, who: &LoggedIn, removed: Result<()>, text: &str) -> Page {
    match removed {
        Ok(()) => done(who, text).await,
        Err(error @ Error::Refused(_)) => {
            let mut view = view(app, who).await?;
            view.error = Some(sentence(&error));
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

async fn on_the_way(session: &Session) -> Result<Option<String>> {
    session.get(ON_THE_WAY).await.map_err(Error::internal)
}

async fn app_view(app: &App, who: &LoggedIn, code: Field, error: Option<String>) -> Result<AppPage> {
    let session = &who.visitor.session;
    let setup: Option<String> = session.get(SETUP).await.map_err(Error::internal)?;
    // The same picture when the page is loaded again: the app may have scanned it already.
    let known = setup.as_deref().map(|setup| app.factors.enrolment(&who.user, setup)).transpose()?.flatten();
    let enrolment = match known {
        Some(enrolment) => enrolment,
        None => {
            let setup = app.factors.begin_app(who.user.id)?;
            let enrolment = app.factors.enrolment(&who.user, &setup)?;
            session.insert(SETUP, setup).await.map_err(Error::internal)?;
            enrolment.ok_or_else(|| Error::internal("a new authenticator setup does not open"))?
        }
    };
    Ok(AppPage {
        focus: who.visitor.focus("Set up an authenticator app").await?,
        tabs: Tabs::account("/security"),
        qr: enrolment.qr.expose_secret().to_owned(),
        text: enrolment.text.expose_secret().to_owned(),
        email: who.user.email.clone(),
        code,
        error,
    })
}

async fn view(app: &App, who: &LoggedIn) -> Result<SecurityPage> {
    let now = OffsetDateTime::now_utc();
    let held = app.factors.held(who.user.id).await?;
    let asking = requirement::asking(&app.db, who.user.id).await?;
    let mut next = None;
    if held.any() {
        next = on_the_way(&who.visitor.session).await?;
        if next.is_some() {
            who.visitor.session.remove_value(ON_THE_WAY).await.map_err(Error::internal)?;
        }
    }
    Ok(SecurityPage {
        focus: who.visitor.focus("Security").await?,
        tabs: Tabs::account("/security"),
        error: None,
        asking: asking
            .into_iter()
            .map(|workspace| AskingWorkspace {
                in_force: workspace.is_in_force(),
                from: Moment::new(workspace.required_from, now),
                name: workspace.name,
            })
            .collect(),
        next,
        has_factor: held.any(),
        has_password: app.accounts.has_password(who.user.id).await?,
        app: app_state(&held, now),
        passkeys: passkey_rows(&held, now),
        passkeys_work: app.factors.has_passkeys(),
        new_passkey: Field::empty(),
        codes_left: held.codes_left,
        codes_all: CODES,
    })
}

fn app_state(held: &Held, now: OffsetDateTime) -> Option<AppState> {
    held.app.as_ref().map(|app| AppState {
        added: Moment::new(app.created_at, now),
        used: app.last_used_at.map(|at| Moment::new(at, now)),
    })
}

fn passkey_rows(held: &Held, now: OffsetDateTime) -> Vec<PasskeyRow> {
    let row = |passkey: &crate::accounts::factors::Passkey| PasskeyRow {
        id: passkey.id.to_string(),
        name: passkey.name.clone(),
        added: Moment::new(passkey.created_at, now),
        used: passkey.last_used_at.map(|at| Moment::new(at, now)),
        rename: None,
    };
    held.passkeys.iter().map(row).collect()
}
