//! The one way in: whatever somebody proved themselves with, they come through [`proved`], and it alone makes a session theirs.
//!
//! Who has a second factor is half in after the first proof: the session remembers who they said they are and nothing else
//! of the console knows them, until [`completed`].

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::{TenantId, UserId};
use tower_sessions::Session;

use super::App;
use super::respond::{Page, see_other};
use super::session::{self, Visitor};
use super::sign_in;
use crate::accounts::User;
use crate::accounts::factors::passkeys::Ceremony;
use crate::error::{Error, Result};

/// How long somebody may be half in.
const HALF_IN_LIFE: Duration = Duration::minutes(10);

const HALF_IN_KEY: &str = "half_in";
const CEREMONY_KEY: &str = "passkey";

/// What somebody proved themselves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Factor {
    Password,
    /// A link or code that was sent to the address.
    Mail,
    /// A code of an authenticator app.
    App,
    RecoveryCode,
    /// Two factors in one: the authenticator has checked the person itself.
    Passkey,
    /// An account at a provider of the deployment.
    External,
    /// The provider of a company, which speaks for its own domains.
    Company(TenantId),
}

/// Somebody who has proved one thing and owes another.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HalfIn {
    pub user: UserId,
    pub by: Factor,
    pub next: String,
    since: i64,
}

impl Factor {
    /// The word that sessions and events are kept with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Mail => "mail",
            Self::App => "app",
            Self::RecoveryCode => "recovery_code",
            Self::Passkey => "passkey",
            Self::External => "external",
            Self::Company(_) => "company",
        }
    }

    /// What people read.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Mail => "mail",
            Self::App => "authenticator app",
            Self::RecoveryCode => "recovery code",
            Self::Passkey => "passkey",
            Self::External => "account elsewhere",
            Self::Company(_) => "company login",
        }
    }
}

/// Goes on after a first proof of identity: the session becomes the user's, under a new id, and the browser goes to `next`,
/// which must be a path of this console (`session::safe_next`). Who has a second factor shows it first.
///
/// Whose company wants its own provider is sent there instead, whatever else they proved themselves with.
///
/// # Errors
/// When the session cannot be stored.
pub(super) async fn proved(app: &App, visitor: &Visitor, user: &User, by: Factor, next: &str) -> Page {
    if let Some(company) = app.external.required_of(user).await?
        && by != Factor::Company(company.tenant)
    {
        return sign_in::required(app, visitor, company, next).await;
    }
    if by == Factor::Passkey || !app.factors.has_any(user.id).await? {
        return finish(app, visitor, user, &[by], next).await;
    }
    let since = OffsetDateTime::now_utc().unix_timestamp();
    let half = HalfIn { user: user.id, by, next: next.to_owned(), since };
    let session = &visitor.session;
    session.clear().await;
    session.cycle_id().await.map_err(Error::internal)?;
    session.insert(HALF_IN_KEY, half).await.map_err(Error::internal)?;
    see_other("/login/second-factor")
}

/// Who is half in with this session, not for too long, and with a password that is still theirs: a change of it ends sessions,
/// and this is the beginning of one.
pub(super) async fn half_in(app: &App, session: &Session) -> Result<Option<HalfIn>> {
    let half: Option<HalfIn> = session.get(HALF_IN_KEY).await.map_err(Error::internal)?;
    let age = |half: &HalfIn| OffsetDateTime::now_utc().unix_timestamp() - half.since;
    let Some(half) = half.filter(|half| age(half) < HALF_IN_LIFE.whole_seconds()) else { return Ok(None) };
    let user = app.accounts.user(half.user).await?;
    let changed = app.accounts.password_since(&user).await?;
    Ok(changed.is_none_or(|at| at.unix_timestamp() <= half.since).then_some(half))
}

/// Lets somebody in who was half in and has shown their second factor.
///
/// # Errors
/// When the session cannot be stored.
pub(super) async fn completed(
    app: &App,
    visitor: &Visitor,
    user: &User,
    half: &HalfIn,
    second: Factor,
) -> Page {
    finish(app, visitor, user, &[half.by, second], &half.next).await
}

/// The end of every login, when all the proofs that are asked of this user have been given.
async fn finish(app: &App, visitor: &Visitor, user: &User, by: &[Factor], next: &str) -> Page {
    session::log_in(visitor, user.id, by).await?;
    let words: Vec<_> = by.iter().map(|factor| factor.as_str()).collect();
    app.accounts.logged_in(user, &words.join("+"), &visitor.origin).await?;
    see_other(next)
}

/// Keeps a question about a passkey until the browser answers.
pub(super) async fn keep_ceremony(session: &Session, ceremony: &Ceremony) -> Result<()> {
    session.insert(CEREMONY_KEY, ceremony).await.map_err(Error::internal)
}

/// The question that the browser answers now; it cannot be answered again.
pub(super) async fn take_ceremony(session: &Session) -> Result<Option<Ceremony>> {
    let ceremony = session.remove(CEREMONY_KEY).await.map_err(Error::internal)?;
    if ceremony.is_some() {
        // At once, so that of two answers sent together one comes too late to be weighed twice.
        session.save().await.map_err(Error::internal)?;
    }
    Ok(ceremony)
}
