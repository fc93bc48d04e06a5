//! Who is looking, and at which workspace: the extractors that handlers cannot do without.

use std::str::FromStr as _;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::UserId;
use tower_sessions::Session;

use super::App;
use super::csrf::Nonce;
use super::login::Factor;
use super::respond::{PageError, confirm_address};
use super::view::{
    Flash, Focus, May, Nav, Person, Role as ViewRole, Shell, Workspace as ViewWorkspace, WorkspaceLink,
};
use crate::accounts::external::Browser;
use crate::accounts::factors::requirement;
use crate::accounts::members::{self, Membership, Permission};
use crate::accounts::origin::Origin;
use crate::accounts::sessions::store::{FACTS_KEY, Facts, USER_KEY};
use crate::accounts::{LinkBinding, User};
use crate::error::{Error, Result};
use crate::peer::ClientAddress;
use crate::tenants::{self, Tenant};

const FLASH_KEY: &str = "flash";
/// Stands before a flash that is a warning.
const WARNING: &str = "! ";
const PENDING_KEY: &str = "signed_up";
const SEEN_KEY: &str = "seen";
const PROOF_KEY: &str = "proof";

/// How long a proof is enough for what is dangerous.
const RECENT: Duration = Duration::minutes(10);

/// When the session's owner last proved who they are, and what with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    /// Seconds since 1970.
    at: i64,
    by: Vec<Factor>,
}

impl Proof {
    fn now(by: &[Factor]) -> Self {
        Self { at: OffsetDateTime::now_utc().unix_timestamp(), by: by.to_vec() }
    }

    /// Whether it was given in the last ten minutes. One from the future is none.
    fn is_recent(&self) -> bool {
        let age = OffsetDateTime::now_utc().unix_timestamp() - self.at;
        (-5..RECENT.whole_seconds()).contains(&age)
    }
}

/// The user of a session, if somebody is logged in.
pub(super) async fn user_id(session: &Session) -> Result<Option<UserId>> {
    let id: Option<String> = session.get(USER_KEY).await.map_err(Error::internal)?;
    Ok(id.and_then(|id| UserId::from_str(&id).ok()))
}

/// Logs a user in who has given all the proofs that are asked of them, under a new session id, so that one planted before is
/// worth nothing. Nothing of the session before lives on.
pub(super) async fn log_in(visitor: &Visitor, user: UserId, by: &[Factor]) -> Result<()> {
    let session = &visitor.session;
    let proof = Proof::now(by);
    let method: Vec<_> = by.iter().map(|factor| factor.as_str()).collect();
    let facts = Facts {
        since: proof.at,
        method: method.join("+"),
        address: visitor.origin.address.clone(),
        agent: visitor.origin.agent.clone(),
    };
    session.clear().await;
    session.cycle_id().await.map_err(Error::internal)?;
    session.insert(FACTS_KEY, facts).await.map_err(Error::internal)?;
    session.insert(PROOF_KEY, proof).await.map_err(Error::internal)?;
    session.insert(USER_KEY, user.to_string()).await.map_err(Error::internal)
}

/// Notes that the session's owner has just proved again who they are; the session goes on under a new id, and ends no later
/// than it would have.
pub(super) async fn prove_again(visitor: &Visitor, by: &[Factor]) -> Result<()> {
    visitor.session.cycle_id().await.map_err(Error::internal)?;
    visitor.session.insert(PROOF_KEY, Proof::now(by)).await.map_err(Error::internal)
}

/// Notes every five minutes that the session is in use and from where, which puts its end off; writing at every request would
/// cost more than it tells.
async fn keep_alive(session: &Session, origin: &Origin) -> Result<()> {
    let moment = OffsetDateTime::now_utc().unix_timestamp() / 300;
    if session.get::<i64>(SEEN_KEY).await.map_err(Error::internal)? != Some(moment) {
        session.insert(SEEN_KEY, moment).await.map_err(Error::internal)?;
        let facts: Option<Facts> = session.get(FACTS_KEY).await.map_err(Error::internal)?;
        let now = Facts {
            address: origin.address.clone(),
            agent: origin.agent.clone(),
            ..facts.unwrap_or_default()
        };
        session.insert(FACTS_KEY, now).await.map_err(Error::internal)?;
    }
    Ok(())
}

/// Remembers who signed up in this browser, until the link in the mail is opened.
pub(super) async fn remember_sign_up(session: &Session, binding: &LinkBinding) -> Result<()> {
    session.insert(PENDING_KEY, binding).await.map_err(Error::internal)
}

/// Which sign-up this browser made.
pub(super) async fn signed_up(session: &Session) -> Result<Option<LinkBinding>> {
    session.get(PENDING_KEY).await.map_err(Error::internal)
}

/// Says something on the next page.
pub(super) async fn flash(session: &Session, text: impl Into<String>) -> Result<()> {
    session.insert(FLASH_KEY, text.into()).await.map_err(Error::internal)
}

/// Says on the next page why something was not done.
pub(super) async fn flash_warning(session: &Session, text: impl Into<String>) -> Result<()> {
    session.insert(FLASH_KEY, format!("{WARNING}{}", text.into())).await.map_err(Error::internal)
}

async fn take_flash(session: &Session) -> Result<Option<Flash>> {
    let text: Option<String> = session.get(FLASH_KEY).await.map_err(Error::internal)?;
    // Removing marks the session as changed even where nothing was there, and a changed session is written.
    if text.is_some() {
        session.remove_value(FLASH_KEY).await.map_err(Error::internal)?;
    }
    Ok(text.map(|text| match text.strip_prefix(WARNING) {
        Some(warning) => Flash::attention(warning),
        None => Flash::fine(text),
    }))
}

pub(super) fn person(name: &str, email: &str) -> Person {
    Person { name: name.to_owned(), email: email.to_owned() }
}

/// Anybody, with what a form needs.
pub(super) struct Visitor {
    pub session: Session,
    pub user: Option<User>,
    /// Where the request comes from.
    pub origin: Origin,
    proof: Option<Proof>,
    nonce: Nonce,
    app: App,
}

impl Visitor {
    /// Whether this person proved who they are in the last ten minutes.
    pub fn is_recent(&self) -> bool {
        self.user.is_some() && self.proof.as_ref().is_some_and(Proof::is_recent)
    }

    /// For secrets and what cannot be undone: goes on only if the person proved who they are in the last ten minutes, else sends
    /// them to do so and then to `next`, a path that can be opened by GET. The page that holds a form asks this first, so that
    /// nothing typed is lost; what takes the form asks it again.
    pub fn require_recent(&self, next: &str) -> std::result::Result<(), PageError> {
        if self.is_recent() { Ok(()) } else { Err(PageError::Confirm(next.to_owned())) }
    }

    /// This browser, for what is begun in it and must not be finished in another.
    pub fn browser(&self) -> Browser {
        Browser::of(self.nonce.as_str())
    }

    pub fn csrf(&self) -> String {
        self.app.forms.make(&self.nonce, self.user.as_ref().map(|user| user.id))
    }

    /// Names this browser with this user, to bind what is asked here to where it is answered. Nobody else can make it.
    pub fn binding(&self) -> String {
        self.csrf()
    }

    /// The frame of a single-column page.
    pub async fn focus(&self, title: &str) -> Result<Focus> {
        let mut focus = Focus::new(title, self.csrf()).with_flash(take_flash(&self.session).await?);
        if let Some(user) = &self.user {
            focus = focus.with_user(person(&user.name, &user.email));
        }
        Ok(focus)
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, PageError> {
        let session =
            Session::from_request_parts(parts, app).await.map_err(|_| Error::internal("no session layer"))?;
        let nonce = Nonce::from_request_parts(parts, app).await?;
        let origin = origin(parts, app, &nonce).await?;
        let user = match user_id(&session).await? {
            None => None,
            Some(id) => match app.accounts.user(id).await {
                Ok(user) => {
                    keep_alive(&session, &origin).await?;
                    Some(user)
                }
                Err(Error::NotFound) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let proof = session.get(PROOF_KEY).await.map_err(Error::internal)?;
        Ok(Self { session, user, origin, proof, nonce, app: App::clone(app) })
    }
}

async fn origin(parts: &mut Parts, app: &App, nonce: &Nonce) -> Result<Origin> {
    let address = ClientAddress::from_request_parts(parts, app).await.map_err(Error::internal)?;
    let agent = parts.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    Ok(Origin::new(address.as_str(), agent.unwrap_or_default(), Some(nonce.as_str())))
}

/// Somebody who is logged in; anybody else logs in first and comes back.
pub(super) struct LoggedIn {
    pub visitor: Visitor,
    pub user: User,
}

impl FromRequestParts<App> for LoggedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, PageError> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        match visitor.user.clone() {
            Some(user) => Ok(Self { visitor, user }),
            None => Err(PageError::LogIn(way_back(parts))),
        }
    }
}

/// Where to come back to after a detour. A form cannot be sent again; its page can be shown again.
fn way_back(parts: &Parts) -> String {
    let original = parts.extensions.get::<axum::extract::OriginalUri>().map(|uri| uri.0.clone());
    let uri = original.unwrap_or_else(|| parts.uri.clone());
    if parts.method == http::Method::GET { uri.to_string() } else { "/workspaces".to_owned() }
}

/// A member inside a workspace. The tenant boundary of the console: a handler has no tenant without it, and a stranger's
/// workspace is not found.
pub(super) struct Workspace {
    pub visitor: Visitor,
    pub user: User,
    pub tenant: Tenant,
    pub member: Membership,
    app: App,
}

#[derive(Deserialize)]
struct SlugPath {
    slug: String,
}

impl FromRequestParts<App> for Workspace {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, PageError> {
        let LoggedIn { visitor, user } = LoggedIn::from_request_parts(parts, app).await?;
        let Path(SlugPath { slug }) =
            Path::from_request_parts(parts, app).await.map_err(|_| Error::NotFound)?;
        let tenant = tenants::by_slug(&app.db, &slug).await?;
        let member = members::membership(&app.db, tenant.id, user.id).await?;
        if requirement::stops_member(&app.db, tenant.id, user.id).await? {
            return Err(PageError::AddFactor(way_back(parts)));
        }
        Ok(Self { visitor, user, tenant, member, app: App::clone(app) })
    }
}

impl Workspace {
    /// The frame of a console page.
    pub async fn shell(&self, title: &str, active: Nav) -> Result<Shell> {
        let mine = tenants::of_user(&self.app.db, self.user.id).await?;
        let others = mine.into_iter().filter(|w| w.tenant.id != self.tenant.id && !w.suspended);
        Ok(Shell {
            title: title.to_owned(),
            csrf: self.visitor.csrf(),
            active,
            user: person(&self.user.name, &self.user.email),
            workspace: ViewWorkspace {
                slug: self.tenant.slug.to_string(),
                name: self.tenant.name.clone(),
                role: ViewRole::parse(self.member.role.as_str()),
                may: may(&self.member),
                tenant_url: self.origin(),
            },
            others: others
                .map(|w| WorkspaceLink { slug: w.tenant.slug.to_string(), name: w.tenant.name })
                .collect(),
            flash: take_flash(&self.visitor.session).await?,
        })
    }

    /// Who changes something about members here.
    pub const fn doer(&self) -> members::Doer<'_> {
        members::Doer {
            by: &self.member,
            person: &self.user,
            workspace: self.tenant.name.as_str(),
            from: &self.visitor.origin,
        }
    }

    /// The tenant's origin.
    pub fn origin(&self) -> String {
        self.app.origins.of_stored(self.tenant.slug.as_str())
    }

    /// A path inside the workspace.
    pub fn path(&self, rest: &str) -> String {
        format!("/w/{}{rest}", self.tenant.slug)
    }

    /// Where to prove again who one is before a form of the page at `rest` can be sent; nothing for who has just done so.
    pub fn prove(&self, rest: &str) -> Option<String> {
        (!self.visitor.is_recent()).then(|| confirm_address(&self.path(rest)))
    }

    /// Says something on the next page.
    /// Says on the next page what went wrong, though what was asked for was done.
    pub async fn warn(&self, text: impl Into<String>) -> Result<()> {
        flash_warning(&self.visitor.session, text).await
    }

    pub async fn flash(&self, text: impl Into<String>) -> Result<()> {
        flash(&self.visitor.session, text).await
    }
}

fn may(member: &Membership) -> May {
    May {
        connectors: member.may(Permission::Connectors),
        members: member.may(Permission::Members),
        clients: member.may(Permission::Clients),
        settings: member.may(Permission::Settings),
        audit: member.may(Permission::Audit),
        billing: member.may(Permission::Billing),
        ownership: member.may(Permission::Ownership),
    }
}

/// A path on this console to go on to, or the usual one: never another site.
pub(super) fn safe_next(next: &str) -> &str {
    let local = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    // Nothing that a header cannot hold or a browser would drop.
    let local = local && next.bytes().all(|b| b.is_ascii_graphic());
    if local { next } else { "/workspaces" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_counts_for_ten_minutes_and_not_before_it_was_given() {
        let proof = |age: i64| Proof { at: OffsetDateTime::now_utc().unix_timestamp() - age, by: Vec::new() };
        assert!(proof(0).is_recent() && proof(590).is_recent());
        assert!(!proof(601).is_recent() && !proof(-3600).is_recent());
    }

    #[test]
    fn after_login_nobody_is_sent_to_another_site() {
        for bad in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "/\t/evil",
        ] {
            assert_eq!(safe_next(bad), "/workspaces", "{bad:?}");
        }
        assert_eq!(safe_next("/oauth/acme/authorize?x=1"), "/oauth/acme/authorize?x=1");
    }
}
