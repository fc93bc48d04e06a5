//! Landing, sign-up, verification, login, logout.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::Deserialize;
use time::OffsetDateTime;
use tower_sessions::Session;

use super::App;
use super::forms::Fields;
use super::login::{self, Factor};
use super::respond::{Page, page, see_other, sentence, status_of, with_status};
use super::session::{self, Visitor, safe_next};
use super::sign_in;
use super::view::{
    CallPath, Field, LandingPage, LoginPage, SignupPage, SignupSentPage, VerifyPage, VerifyState,
};
use crate::accounts::{LinkBinding, SignUp, User};
use crate::error::{Error, Result};
use crate::peer::ClientAddress;

/// Where the address typed at sign-up is kept for the next page.
const SENT_TO: &str = "sent_to";
/// When the mail of a sign-up was sent last, in seconds since 1970.
const SENT_AT: &str = "sent_at";
/// Seconds between one mail and the next.
const BETWEEN: i64 = 30;
/// Where somebody who signed up wanted to go.
const NEXT: &str = "next";

/// Parameters that these pages take.
#[derive(Deserialize)]
pub(super) struct Links {
    #[serde(default)]
    next: String,
    #[serde(default)]
    token: String,
    /// An address that was typed elsewhere.
    #[serde(default)]
    email: String,
    /// Whether somebody who is logged in wants to log in as somebody else.
    #[serde(default)]
    switch: String,
}

pub(super) async fn landing(visitor: Visitor) -> Page {
    if visitor.user.is_some() { see_other("/workspaces") } else { page(&LandingPage::default()) }
}

pub(super) async fn signup_form(
    State(app): State<App>,
    visitor: Visitor,
    Query(links): Query<Links>,
) -> Page {
    if visitor.user.is_some() {
        return see_other(safe_next(&links.next));
    }
    let providers = sign_in::buttons(&app);
    page(&SignupPage { next: links.next, providers, ..SignupPage::new(visitor.focus("Sign up").await?) })
}

pub(super) async fn signup(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    fields: Fields,
) -> Page {
    let input = SignUp {
        name: fields.get("name").to_owned(),
        email: fields.get("email").to_owned(),
        password: fields.secret("password"),
    };
    match app.accounts.sign_up(input, &address.network()).await {
        Ok(binding) => {
            remember_mail(&visitor.session, &binding).await?;
            remember(&visitor.session, SENT_TO, fields.get("email").trim()).await?;
            remember(&visitor.session, NEXT, fields.get("next")).await?;
            see_other("/signup/sent")
        }
        Err(error @ (Error::Field { .. } | Error::TooMany(_) | Error::Busy)) => {
            again(&app, &visitor, &fields, error).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The form again, with what was typed and what to mend.
async fn again(app: &App, visitor: &Visitor, fields: &Fields, error: Error) -> Page {
    let mut form = SignupPage {
        focus: visitor.focus("Sign up").await?,
        name: Field::of(fields.get("name")),
        email: Field::of(fields.get("email")),
        password: Field::empty(),
        error: None,
        next: fields.get("next").to_owned(),
        path: CallPath::explained(),
        providers: sign_in::buttons(app),
    };
    let status = status_of(&error);
    match error {
        Error::Field { field: "name", message } => form.name = form.name.refused(message),
        Error::Field { field: "email", message } => form.email = form.email.refused(message),
        Error::Field { message, .. } => form.password = form.password.refused(message),
        other => form.error = Some(sentence(&other)),
    }
    with_status(status, &form)
}

pub(super) async fn signup_sent(State(app): State<App>, visitor: Visitor) -> Page {
    page(&sent_page(&app, &visitor, Field::empty()).await?)
}

async fn sent_page(app: &App, visitor: &Visitor, code: Field) -> Result<SignupSentPage> {
    Ok(SignupSentPage {
        email: visitor.session.get(SENT_TO).await.map_err(Error::internal)?,
        focus: visitor.focus("Check your mail").await?,
        valid_for: "24 hours",
        code,
        wait: wait(&visitor.session).await?,
        mailbox_url: app.mailbox_url.clone(),
    })
}

/// Seconds until the mail may be sent again.
async fn wait(session: &Session) -> Result<i64> {
    let sent: Option<i64> = session.get(SENT_AT).await.map_err(Error::internal)?;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    Ok(sent.map_or(0, |sent| (sent + BETWEEN - now).clamp(0, BETWEEN)))
}

async fn remember_mail(session: &Session, binding: &LinkBinding) -> Result<()> {
    session::remember_sign_up(session, binding).await?;
    session.insert(SENT_AT, OffsetDateTime::now_utc().unix_timestamp()).await.map_err(Error::internal)
}

/// `POST /signup/code`: the code of the mail, in the browser that signed up.
pub(super) async fn signup_code(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    fields: Fields,
) -> Page {
    let Some(binding) = session::signed_up(&visitor.session).await? else { return see_other("/signup") };
    match app.accounts.verify_code(&binding, fields.get("code"), &address.network()).await {
        Ok(user) => welcome(&app, &visitor, &user).await,
        Err(error @ (Error::Field { .. } | Error::TooMany(_))) => {
            let code = Field::of(fields.get("code")).refused(sentence(&error));
            with_status(status_of(&error), &sent_page(&app, &visitor, code).await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /signup/resend`: the mail again, with a new link and code.
pub(super) async fn signup_resend(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    _fields: Fields,
) -> Page {
    let email: Option<String> = visitor.session.get(SENT_TO).await.map_err(Error::internal)?;
    let binding = session::signed_up(&visitor.session).await?;
    let (Some(email), Some(binding)) = (email, binding) else { return see_other("/signup") };
    let seconds = wait(&visitor.session).await?;
    if seconds > 0 {
        session::flash_warning(&visitor.session, format!("The mail can be sent again in {seconds} seconds."))
            .await?;
        return see_other("/signup/sent");
    }
    match app.accounts.send_again(&email, &binding, &address.network()).await {
        Ok(binding) => {
            remember_mail(&visitor.session, &binding).await?;
            session::flash(&visitor.session, "Another mail is on its way. Only its code counts now.").await?;
        }
        Err(error @ Error::TooMany(_)) => {
            session::flash_warning(&visitor.session, sentence(&error)).await?;
        }
        Err(error) => return Err(error.into()),
    }
    see_other("/signup/sent")
}

/// Goes on after an address is confirmed: to where the person wanted to go, else to their first workspace.
async fn welcome(app: &App, visitor: &Visitor, user: &User) -> Page {
    let next: Option<String> = visitor.session.get(NEXT).await.map_err(Error::internal)?;
    let next = next.filter(|next| !next.is_empty());
    let next = next.as_deref().map_or("/workspaces/new", safe_next);
    login::proved(app, visitor, user, Factor::Mail, next).await
}

/// Shows a button and uses nothing: programs that look into mails open links before people do.
pub(super) async fn verify_form(
    State(app): State<App>,
    visitor: Visitor,
    Query(links): Query<Links>,
) -> Page {
    match app.accounts.verifiable(&links.token).await {
        Ok(user) => {
            let binding = session::signed_up(&visitor.session).await?;
            let same_browser = binding.is_some_and(|binding| binding.is_of(&links.token));
            let password = (!same_browser).then(Field::empty);
            verify_page(
                &visitor,
                &links.token,
                Some(user.email),
                VerifyState::Ready { password },
                StatusCode::OK,
            )
            .await
        }
        Err(Error::Gone(_)) => verify_page(&visitor, "", None, VerifyState::Dead, StatusCode::GONE).await,
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn verify(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    fields: Fields,
) -> Page {
    let token = fields.get("token");
    let browser = session::signed_up(&visitor.session).await?;
    let password = fields.secret("password");
    match app.accounts.verify(token, browser.as_ref(), password, &address.network()).await {
        Ok(user) => welcome(&app, &visitor, &user).await,
        Err(Error::Field { message, .. }) => {
            let email = app.accounts.verifiable(token).await?.email;
            let state = VerifyState::Ready { password: Some(Field::empty().refused(message)) };
            verify_page(&visitor, token, Some(email), state, StatusCode::UNPROCESSABLE_ENTITY).await
        }
        Err(Error::Gone(_)) => verify_page(&visitor, "", None, VerifyState::Dead, StatusCode::GONE).await,
        Err(error) => Err(error.into()),
    }
}

async fn verify_page(
    visitor: &Visitor,
    token: &str,
    email: Option<String>,
    state: VerifyState,
    status: StatusCode,
) -> Page {
    let focus = visitor.focus("Confirm your address").await?;
    with_status(status, &VerifyPage { focus, token: token.to_owned(), email, state })
}

pub(super) async fn login_form(State(app): State<App>, visitor: Visitor, Query(links): Query<Links>) -> Page {
    if visitor.user.is_some() && links.switch.is_empty() {
        return see_other(safe_next(&links.next));
    }
    let form = login_page(&app, &visitor, &links.next).await?;
    page(&LoginPage { email: Field::of(links.email), ..form })
}

pub(super) async fn login(
    State(app): State<App>,
    visitor: Visitor,
    address: ClientAddress,
    fields: Fields,
) -> Page {
    let next = fields.get("next");
    match app.accounts.log_in(fields.get("email"), fields.secret("password"), &address.network()).await {
        Ok(user) => login::proved(&app, &visitor, &user, Factor::Password, safe_next(next)).await,
        Err(error @ (Error::Field { .. } | Error::TooMany(_) | Error::Busy)) => {
            let form = LoginPage {
                email: Field::of(fields.get("email")),
                error: Some(sentence(&error)),
                ..login_page(&app, &visitor, next).await?
            };
            with_status(status_of(&error), &form)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn logout(
    State(_app): State<Arc<super::Console>>,
    visitor: Visitor,
    _fields: Fields,
) -> Page {
    visitor.session.flush().await.map_err(Error::internal)?;
    let mut response = see_other("/login")?.into_response();
    response
        .headers_mut()
        .insert("clear-site-data", http::HeaderValue::from_static("\"cache\", \"storage\""));
    Ok(response)
}

async fn login_page(app: &App, visitor: &Visitor, next: &str) -> Result<LoginPage> {
    Ok(LoginPage {
        reason: reason(next),
        providers: sign_in::buttons(app),
        passkeys: app.factors.has_passkeys(),
        workspace: workspace_of(next).unwrap_or_default().to_owned(),
        ..LoginPage::new(visitor.focus("Log in").await?, next)
    })
}

/// The workspace that a path leads to.
fn workspace_of(next: &str) -> Option<&str> {
    let slug = next.strip_prefix("/oauth/").or_else(|| next.strip_prefix("/w/"))?;
    slug.split(['/', '?', '#']).next().filter(|slug| !slug.is_empty())
}

/// Why the login is needed, for somebody on the way from a client.
fn reason(next: &str) -> Option<String> {
    let slug = next.strip_prefix("/oauth/")?.split('/').next()?;
    Some(format!("An application asks to use the tools of {slug}. Log in to decide."))
}

async fn remember(session: &Session, key: &str, value: &str) -> Result<()> {
    if value.len() > 2000 {
        return Ok(());
    }
    session.insert(key, value).await.map_err(Error::internal)
}
