//! A new password by mail. The pages say the same for an address that nobody has.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, sentence, status_of, with_status};
use super::session::{Visitor, flash};
use super::view::{Field, ResetNewPage, ResetNewState, ResetPage, ResetSentPage};
use crate::error::Error;
use crate::peer::ClientAddress;

#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
}

/// `GET /reset`.
pub(super) async fn show(visitor: Visitor) -> Page {
    let email = visitor.user.as_ref().map_or_else(Field::empty, |user| Field::of(user.email.clone()));
    page(&ResetPage { focus: visitor.focus("Set a new password").await?, email })
}

/// `POST /reset`: sends the mail.
pub(super) async fn ask(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    fields: Fields,
) -> Page {
    match app.accounts.ask_reset(fields.get("email"), &address.network()).await {
        Ok(()) => see_other("/reset/sent"),
        Err(error @ (Error::Field { .. } | Error::TooMany(_))) => {
            let email = Field::of(fields.get("email")).refused(sentence(&error));
            let view = ResetPage { focus: visitor.focus("Set a new password").await?, email };
            with_status(status_of(&error), &view)
        }
        Err(error) => Err(error.into()),
    }
}

/// `GET /reset/sent`.
pub(super) async fn sent(State(app): State<App>, visitor: Visitor) -> Page {
    let focus = visitor.focus("Check your mail").await?;
    page(&ResetSentPage { focus, mailbox_url: app.mailbox_url.clone() })
}

/// `GET /reset/new`: the link of the mail; uses nothing.
pub(super) async fn form(State(app): State<App>, visitor: Visitor, Query(query): Query<Token>) -> Page {
    match app.accounts.resettable(&query.token).await {
        Ok(user) => {
            let state = ResetNewState::Ready { email: user.email, password: Field::empty() };
            new_page(&visitor, query.token, state, StatusCode::OK).await
        }
        Err(Error::Gone(_)) => new_page(&visitor, String::new(), ResetNewState::Dead, StatusCode::GONE).await,
        Err(error) => Err(error.into()),
    }
}

/// `POST /reset/new`: sets it. Logs nobody in: that takes the new password and whatever else the account asks.
pub(super) async fn set(State(app): State<App>, visitor: Visitor, fields: Fields) -> Page {
    let token = fields.get("token");
    match app.accounts.reset(token, fields.secret("password"), &visitor.origin).await {
        Ok(()) => {
            visitor.session.flush().await.map_err(Error::internal)?;
            flash(&visitor.session, "The new password is set. Log in with it.").await?;
            see_other("/login")
        }
        Err(Error::Gone(_)) => new_page(&visitor, String::new(), ResetNewState::Dead, StatusCode::GONE).await,
        Err(error @ (Error::Field { .. } | Error::Busy)) => {
            let email = app.accounts.resettable(token).await?.email;
            let password = Field::empty().refused(sentence(&error));
            let state = ResetNewState::Ready { email, password };
            new_page(&visitor, token.to_owned(), state, status_of(&error)).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn new_page(visitor: &Visitor, token: String, state: ResetNewState, status: StatusCode) -> Page {
    let focus = visitor.focus("Set a new password").await?;
    with_status(status, &ResetNewPage { focus, token, state })
}
