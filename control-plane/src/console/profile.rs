//! A person's own account: name, address, password.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use time::OffsetDateTime;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, sentence, status_of, with_status};
use super::session::{LoggedIn, Visitor, flash};
use super::view::{
    EmailChangePage, EmailLinkPage, Field, LinkState, Moment, PasswordPage, Pending, ProfilePage, Tabs,
};
use crate::accounts::external::providers::Provider;
use crate::accounts::take_back::Came;
use crate::error::{Error, Result};

#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
}

/// `GET /account`.
pub(super) async fn show(State(app): State<App>, who: LoggedIn) -> Page {
    page(&view(&app, &who, Field::of(who.user.name.clone()), Field::empty()).await?)
}

/// `POST /account`: the name.
pub(super) async fn rename(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    match app.accounts.rename(&who.user, fields.get("name")).await {
        Ok(()) => {
            flash(&who.visitor.session, "The name is saved.").await?;
            see_other("/account")
        }
        Err(Error::Field { message, .. }) => {
            let name = Field::of(fields.get("name")).refused(message);
            let view = view(&app, &who, name, Field::empty()).await?;
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

async fn view(app: &App, who: &LoggedIn, name: Field, code: Field) -> Result<ProfilePage> {
    let now = OffsetDateTime::now_utc();
    let pending = app.accounts.pending_email(&who.user).await?;
    Ok(ProfilePage {
        focus: who.visitor.focus("Your account").await?,
        tabs: Tabs::account(""),
        name,
        email: who.user.email.clone(),
        pending: pending.map(|pending| Pending {
            email: pending.email,
            until: Moment::new(pending.expires_at, now),
            code,
            mailbox_url: app.mailbox_url.clone(),
        }),
        password_set: app.accounts.password_since(&who.user).await?.map(|at| Moment::new(at, now)),
        member_since: Moment::new(who.user.created_at, now),
    })
}

/// `GET /account/email`: for another address.
pub(super) async fn email_form(who: LoggedIn) -> Page {
    who.visitor.require_recent("/account/email")?;
    page(&email_page(&who, Field::empty()).await?)
}

/// `POST /account/email`: sends a link and a code to it.
pub(super) async fn change_email(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    who.visitor.require_recent("/account/email")?;
    match app.accounts.ask_email_change(&who.user, fields.get("email"), &who.visitor.origin).await {
        Ok(()) => see_other("/account"),
        Err(error @ (Error::Field { .. } | Error::TooMany(_))) => {
            let email = Field::of(fields.get("email")).refused(sentence(&error));
            with_status(status_of(&error), &email_page(&who, email).await?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn email_page(who: &LoggedIn, email: Field) -> Result<EmailChangePage> {
    let focus = who.visitor.focus("Change your email").await?;
    Ok(EmailChangePage { focus, now: who.user.email.clone(), email })
}

/// `POST /account/email/code`: the code of the mail.
pub(super) async fn email_code(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    match app.accounts.confirm_email_by_code(&who.user, fields.get("code"), &who.visitor.origin).await {
        Ok(()) => email_is_changed(&who).await,
        Err(Error::Field { message, .. }) => {
            let name = Field::of(who.user.name.clone());
            let view = view(&app, &who, name, Field::of(fields.get("code")).refused(message)).await?;
            with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
        }
        Err(error) => Err(error.into()),
    }
}

async fn email_is_changed(who: &LoggedIn) -> Page {
    flash(&who.visitor.session, "Your address is changed. We told the old one.").await?;
    see_other("/account")
}

/// `POST /account/email/cancel`.
pub(super) async fn cancel_email(State(app): State<App>, who: LoggedIn, _fields: Fields) -> Page {
    app.accounts.cancel_email_change(&who.user).await?;
    flash(&who.visitor.session, "Your address stays as it is.").await?;
    see_other("/account")
}

/// `GET /account/email/confirm`: the link of the mail; uses nothing.
pub(super) async fn email_link(State(app): State<App>, who: LoggedIn, Query(query): Query<Token>) -> Page {
    let state = match app.accounts.email_change(&query.token).await {
        Ok(change) if change.user_id == who.user.id => LinkState::ready(change.email),
        Ok(_) => LinkState::OtherAccount,
        Err(Error::Gone(_)) => LinkState::Dead,
        Err(error) => return Err(error.into()),
    };
    link_page(&who.visitor, "Confirm your new address", "/account/email/confirm", query.token, state).await
}

/// `POST /account/email/confirm`.
pub(super) async fn confirm_email(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    let token = fields.get("token");
    match app.accounts.confirm_email_by_link(&who.user, token, &who.visitor.origin).await {
        Ok(()) => email_is_changed(&who).await,
        Err(Error::Gone(_)) => {
            let title = "Confirm your new address";
            link_page(&who.visitor, title, "/account/email/confirm", String::new(), LinkState::Dead).await
        }
        Err(error) => Err(error.into()),
    }
}

/// `GET /account/email/undo`: the link in the mail to the old address; for who may have been logged out. Uses nothing.
pub(super) async fn undo_form(State(app): State<App>, visitor: Visitor, Query(query): Query<Token>) -> Page {
    let state = match app.accounts.undoable(&query.token).await {
        Ok(undo) => LinkState::Ready { goes: undo.came.iter().map(goes).collect(), email: undo.email },
        Err(Error::Gone(_)) => LinkState::Dead,
        Err(error) => return Err(error.into()),
    };
    link_page(&visitor, "Take your account back", "/account/email/undo", query.token, state).await
}

/// What came to the account since, in words.
fn goes(came: &Came) -> String {
    match came {
        Came::App => "The authenticator app".to_owned(),
        Came::Passkey(name) => format!("The passkey “{name}”"),
        Came::Identity { provider, label } => match Provider::parse(provider) {
            Some(known) => format!("Logging in with {known} as {label}"),
            None => format!("Logging in with a company as {label}"),
        },
        Came::Key(name) => format!("The API key “{name}”"),
    }
}

/// `POST /account/email/undo`.
pub(super) async fn undo(State(app): State<App>, visitor: Visitor, fields: Fields) -> Page {
    match app.accounts.undo_email_change(fields.get("token"), &visitor.origin).await {
        Ok(()) => {
            visitor.session.flush().await.map_err(Error::internal)?;
            see_other("/reset/sent")
        }
        Err(Error::Gone(_)) => {
            let title = "Take your account back";
            link_page(&visitor, title, "/account/email/undo", String::new(), LinkState::Dead).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn link_page(
    visitor: &Visitor,
    title: &str,
    action: &'static str,
    token: String,
    state: LinkState,
) -> Page {
    let status = if matches!(state, LinkState::Dead) { StatusCode::GONE } else { StatusCode::OK };
    with_status(status, &EmailLinkPage { focus: visitor.focus(title).await?, action, token, state })
}

/// `GET /account/password`.
pub(super) async fn password_form(State(app): State<App>, who: LoggedIn) -> Page {
    who.visitor.require_recent("/account/password")?;
    page(&password_page(&app, &who).await?)
}

/// `POST /account/password`: a new one for who knows the old one.
pub(super) async fn change_password(State(app): State<App>, who: LoggedIn, fields: Fields) -> Page {
    who.visitor.require_recent("/account/password")?;
    let passwords = (fields.secret("current"), fields.secret("password"));
    let visitor = &who.visitor;
    match app.accounts.change_password(&who.user, passwords, &visitor.session, &visitor.origin).await {
        Ok(()) => {
            // Whoever held this session's id before the change holds nothing now.
            visitor.session.cycle_id().await.map_err(Error::internal)?;
            flash(&visitor.session, "The new password is set, and all other sessions are ended.").await?;
            see_other("/account")
        }
        Err(error @ (Error::Field { .. } | Error::TooMany(_) | Error::Busy)) => {
            let status = status_of(&error);
            let mut view = password_page(&app, &who).await?;
            match error {
                Error::Field { field: "current", message } => view.current = Field::empty().refused(message),
                Error::Field { message, .. } => view.password = Field::empty().refused(message),
                other => view.error = Some(sentence(&other)),
            }
            with_status(status, &view)
        }
        Err(error) => Err(error.into()),
    }
}

async fn password_page(app: &App, who: &LoggedIn) -> Result<PasswordPage> {
    Ok(PasswordPage {
        focus: who.visitor.focus("Change your password").await?,
        email: who.user.email.clone(),
        has_one: app.accounts.has_password(who.user.id).await?,
        current: Field::empty(),
        password: Field::empty(),
        error: None,
    })
}
