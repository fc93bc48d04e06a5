//! Where somebody is logged in, and what happened to their account: theirs alone to see.

use axum::extract::{Path, State};
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other};
use super::session::{LoggedIn, flash};
use super::view::{EventRow, Moment, SessionRow, SessionsPage, Tabs, login_method};
use crate::accounts::events::{self, Kind};
use crate::accounts::{origin, sessions};
use crate::error::Error;

const HERE: &str = "/account/sessions";

#[derive(Deserialize)]
pub(super) struct SessionPath {
    handle: String,
}

/// `GET /account/sessions`.
pub(super) async fn list(State(app): State<App>, who: LoggedIn) -> Page {
    let now = OffsetDateTime::now_utc();
    let row = |session: sessions::SessionRow| SessionRow {
        handle: session.handle.to_string(),
        device: origin::device(&session.agent),
        address: session.address,
        method: login_method(&session.method),
        since: Moment::new(session.created_at, now),
        seen: Moment::new(session.last_seen_at, now),
        current: session.current,
    };
    let event = |event: events::Event| EventRow {
        at: Moment::new(event.at, now),
        what: Kind::words(&event.kind),
        about: if event.kind == Kind::LoggedIn.as_str() {
            login_method(event.about())
        } else {
            event.about().to_owned()
        },
        device: event.device,
        address: event.address,
    };
    let rows = sessions::list(&app.db, who.user.id, &who.visitor.session).await?;
    let events = events::recent(&app.db, who.user.id).await?;
    page(&SessionsPage {
        focus: who.visitor.focus("Your account").await?,
        tabs: Tabs::account("/sessions"),
        rows: rows.into_iter().map(row).collect(),
        events: events.into_iter().map(event).collect(),
    })
}

/// `POST /account/sessions/{handle}/end`.
pub(super) async fn end(
    State(app): State<App>,
    who: LoggedIn,
    Path(path): Path<SessionPath>,
    _fields: Fields,
) -> Page {
    who.visitor.require_recent(HERE)?;
    let handle = Uuid::try_parse(&path.handle).map_err(|_| Error::NotFound)?;
    let mut tx = app.db.global().await?;
    let ended = sessions::end(&mut tx, who.user.id, handle).await?.ok_or(Error::NotFound)?;
    let device = origin::device(&ended.agent);
    events::record(&mut tx, who.user.id, Kind::SessionEnded, &who.visitor.origin, &device).await?;
    tx.commit().await?;
    flash(&who.visitor.session, format!("The session of {device} is ended.")).await?;
    see_other(HERE)
}

/// `POST /account/sessions/end-others`.
pub(super) async fn end_others(State(app): State<App>, who: LoggedIn, _fields: Fields) -> Page {
    who.visitor.require_recent(HERE)?;
    let mut tx = app.db.global().await?;
    let ended = sessions::end_others(&mut tx, who.user.id, &who.visitor.session).await?;
    if ended > 0 {
        let kind = Kind::OtherSessionsEnded;
        let about = sessions::Ended { sessions: ended, apps: 0 }.words();
        events::record(&mut tx, who.user.id, kind, &who.visitor.origin, &about).await?;
    }
    tx.commit().await?;
    let said = match ended {
        0 => "There was no other session.".to_owned(),
        1 => "One other session is ended.".to_owned(),
        n => format!("{n} other sessions are ended."),
    };
    flash(&who.visitor.session, said).await?;
    see_other(HERE)
}

/// `POST /account/sessions/end-everywhere`: all other sessions, and all apps in all workspaces.
pub(super) async fn end_everywhere(State(app): State<App>, who: LoggedIn, _fields: Fields) -> Page {
    who.visitor.require_recent(HERE)?;
    let ended =
        app.accounts.sign_out_everywhere(&who.user, &who.visitor.session, &who.visitor.origin).await?;
    let said = match ended.words().as_str() {
        "" => "Nothing else was logged in or connected.".to_owned(),
        words => format!("Ended: {words}. API keys go on; revoke them in each workspace."),
    };
    flash(&who.visitor.session, said).await?;
    see_other(HERE)
}
