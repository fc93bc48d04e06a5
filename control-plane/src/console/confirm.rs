//! Proving again who one is, before secrets and what cannot be undone. Who is sent here comes back to where they were going.

use axum::extract::{Query, State};
use serde::Deserialize;

use super::App;
use super::forms::Fields;
use super::login::Factor;
use super::respond::{Page, login_address, page, see_other, sentence, status_of, with_status};
use super::session::{self, LoggedIn, safe_next};
use super::view::{ConfirmPage, Field};
use crate::error::{Error, Result};
use crate::peer::ClientAddress;

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// `GET /account/confirm`.
pub(super) async fn show(State(app): State<App>, who: LoggedIn, Query(query): Query<Next>) -> Page {
    if who.visitor.is_recent() {
        return see_other(safe_next(&query.next));
    }
    page(&view(&app, &who, &query.next, Field::empty()).await?)
}

/// `POST /account/confirm`: with the password.
pub(super) async fn confirm(
    State(app): State<App>,
    who: LoggedIn,
    address: ClientAddress,
    fields: Fields,
) -> Page {
    let next = fields.get("next");
    match app.accounts.check_password(&who.user, fields.secret("password"), &address.network()).await {
        Ok(()) => {
            session::prove_again(&who.visitor, &[Factor::Password]).await?;
            see_other(safe_next(next))
        }
        Err(error @ (Error::Field { .. } | Error::TooMany(_) | Error::Busy)) => {
            let status = status_of(&error);
            let password = Field::empty().refused(sentence(&error));
            with_status(status, &view(&app, &who, next, password).await?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn view(app: &App, who: &LoggedIn, next: &str, password: Field) -> Result<ConfirmPage> {
    let next = safe_next(next).to_owned();
    Ok(ConfirmPage {
        focus: who.visitor.focus("Confirm that it is you").await?,
        password: app.accounts.has_password(who.user.id).await?.then_some(password),
        log_in_again: format!("{}&switch=1", login_address(&next)),
        email: who.user.email.clone(),
        passkeys: app.factors.has_passkeys() && app.factors.has_passkey(who.user.id).await?,
        next,
    })
}
