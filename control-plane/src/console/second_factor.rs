//! The second step of a login, and logging in with a passkey alone.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::Deserialize;

use super::App;
use super::forms::Fields;
use super::login::{self, Factor, HalfIn};
use super::respond::{Page, page, see_other, sentence, status_of, with_status};
use super::session::{self, LoggedIn, Visitor, safe_next};
use super::view::{Field, LoginPage, SecondFactorPage};
use crate::accounts::User;
use crate::error::{Error, Result};

#[derive(Deserialize)]
pub(super) struct Wish {
    /// `recovery` for who has lost app and passkeys.
    #[serde(default)]
    with: String,
}

pub(super) async fn show(State(app): State<App>, visitor: Visitor, Query(wish): Query<Wish>) -> Page {
    let Some(half) = login::half_in(&app, &visitor.session).await? else { return see_other("/login") };
    let mut view = view(&app, &visitor, &half).await?;
    view.recovering |= wish.with == "recovery" && view.codes;
    page(&view)
}

pub(super) async fn check(State(app): State<App>, visitor: Visitor, fields: Fields) -> Page {
    let Some(half) = login::half_in(&app, &visitor.session).await? else { return see_other("/login") };
    let user = app.accounts.user(half.user).await?;
    match try_factor(&app, &visitor, &user, &fields).await {
        Ok(second) => login::completed(&app, &visitor, &user, &half, second).await,
        Err(error @ (Error::Field { .. } | Error::Refused(_) | Error::TooMany(_))) => {
            app.factors.failed(user.id, &visitor.origin, with(&fields).words()).await?;
            let mut view = view(&app, &visitor, &half).await?;
            view.recovering = fields.get("with") == "recovery";
            let status = status_of(&error);
            match error {
                Error::Field { field: "recovery", message } => {
                    view.recovery = Field::of(fields.get("recovery")).refused(message);
                }
                Error::Field { message, .. } => view.code = Field::of(fields.get("code")).refused(message),
                other => view.error = Some(sentence(&other)),
            }
            with_status(status, &view)
        }
        Err(error) => Err(error.into()),
    }
}

/// What a form brings.
fn with(fields: &Fields) -> Factor {
    match fields.get("with") {
        "recovery" => Factor::RecoveryCode,
        "passkey" => Factor::Passkey,
        _ => Factor::App,
    }
}

/// The factor that a form brings. Of a passkey, only one of the person who is half in.
async fn try_factor(app: &App, visitor: &Visitor, user: &User, fields: &Fields) -> Result<Factor> {
    let (with, from) = (with(fields), &visitor.origin);
    match with {
        Factor::RecoveryCode => app.factors.check_recovery(user, fields.get("recovery"), from).await?,
        Factor::Passkey => check_passkey_of(app, visitor, user, fields).await?,
        _ => app.factors.check_app(user.id, fields.get("code"), from).await?,
    }
    Ok(with)
}

async fn check_passkey_of(app: &App, visitor: &Visitor, user: &User, fields: &Fields) -> Result<()> {
    let ceremony = login::take_ceremony(&visitor.session).await?;
    let owner = app.factors.check_passkey(ceremony, fields.get("credential")).await?;
    if owner == user.id {
        Ok(())
    } else {
        Err(Error::Refused("This is a passkey of another account.".to_owned()))
    }
}

/// The question for a passkey of who is half in.
pub(super) async fn options(State(app): State<App>, visitor: Visitor, _fields: Fields) -> Page {
    let Some(half) = login::half_in(&app, &visitor.session).await? else {
        return Err(Error::Refused("This took too long. Log in again.".to_owned()).into());
    };
    let (question, ceremony) = app.factors.begin_login_of(half.user).await?;
    login::keep_ceremony(&visitor.session, &ceremony).await?;
    Ok(Json(question).into_response())
}

/// The question for any passkey.
pub(super) async fn login_options(State(app): State<App>, visitor: Visitor, _fields: Fields) -> Page {
    app.factors.may_ask(&visitor.origin)?;
    let (question, ceremony) = app.factors.begin_login()?;
    login::keep_ceremony(&visitor.session, &ceremony).await?;
    Ok(Json(question).into_response())
}

/// Logs in whoever the passkey belongs to.
pub(super) async fn login(State(app): State<App>, visitor: Visitor, fields: Fields) -> Page {
    let next = fields.get("next");
    let ceremony = login::take_ceremony(&visitor.session).await?;
    match app.factors.check_passkey(ceremony, fields.get("credential")).await {
        Ok(user) => {
            let user = app.accounts.user(user).await?;
            login::proved(&app, &visitor, &user, Factor::Passkey, safe_next(next)).await
        }
        Err(error @ Error::Refused(_)) => {
            let form = LoginPage {
                error: Some(sentence(&error)),
                passkeys: true,
                ..LoginPage::new(visitor.focus("Log in").await?, next)
            };
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &form)
        }
        Err(error) => Err(error.into()),
    }
}

/// The question for a passkey of who is logged in and has to prove it again.
pub(super) async fn confirm_options(State(app): State<App>, who: LoggedIn, _fields: Fields) -> Page {
    let (question, ceremony) = app.factors.begin_login_of(who.user.id).await?;
    login::keep_ceremony(&who.visitor.session, &ceremony).await?;
    Ok(Json(question).into_response())
}

/// Proves again who somebody is, with a passkey of theirs.
pub(super) async fn confirm(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    check_passkey_of(&app, &who.visitor, &who.user, &fields).await?;
    session::prove_again(&who.visitor, &[Factor::Passkey]).await?;
    see_other(safe_next(fields.get("next")))
}

async fn view(app: &App, visitor: &Visitor, half: &HalfIn) -> Result<SecondFactorPage> {
    let held = app.factors.held(half.user).await?;
    let passkeys = !held.passkeys.is_empty() && app.factors.has_passkeys();
    Ok(SecondFactorPage {
        focus: visitor.focus("Second factor").await?,
        app: held.app.is_some(),
        passkeys,
        codes: held.codes_left > 0,
        recovering: held.app.is_none() && !passkeys,
        code: Field::empty(),
        recovery: Field::empty(),
        error: None,
    })
}
