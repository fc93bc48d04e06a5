//! What some APIs are shown instead of a stored credential: an access token that the control plane hands out (`tokens`), or a
//! login that the node makes itself (`session`).
//!
//! Both are had once for all callers of an installation and kept in memory alone. When the API answers 401, the same is not
//! shown again: what was refused is replaced, once for all who were refused, and the caller repeats its request once.

mod cookies;
pub mod session;
pub mod tokens;

use std::time::{Duration, Instant};

use super::credentials::{Auth, CredentialError, Opened, Placement, Shown};
use super::rest::plan::CredentialUse;
use crate::catalog::Installation;
use session::Sessions;
use tokens::{Held, Secret, Tokens};

/// What was got so lately in place of something refused, and is refused too, is not at fault itself: getting it again would
/// help nobody.
const FRESH: Duration = Duration::from_secs(10);

/// Why something could not be had, and when it was tried: whoever waited meanwhile need not try again.
#[derive(Debug)]
struct Failed {
    at: Instant,
    error: CredentialError,
}

/// Hands out what to show. Cheap to clone; clones share what is kept.
#[derive(Clone, Debug)]
pub struct SignIn {
    tokens: Tokens,
    sessions: Sessions,
}

impl SignIn {
    #[must_use]
    pub const fn new(tokens: Tokens, sessions: Sessions) -> Self {
        Self { tokens, sessions }
    }

    /// The credential of a call, ready to be put in its place: the workspace's, or the holder's own where the call has one;
    /// nothing for a call that shows none.
    ///
    /// # Errors
    /// When there is none that could be shown now.
    pub async fn placement(
        &self,
        installation: &Installation,
        opened: &Opened,
        credential: CredentialUse,
    ) -> Result<Placement, CredentialError> {
        if credential == CredentialUse::None {
            return Ok(Placement::default());
        }
        match self.needed(installation, opened).await {
            // Nobody has entered one, or logged in.
            Err(CredentialError::Missing(_) | CredentialError::Person(_))
                if credential == CredentialUse::Optional =>
            {
                Ok(Placement::default())
            }
            placement => placement,
        }
    }

    async fn needed(
        &self,
        installation: &Installation,
        opened: &Opened,
    ) -> Result<Placement, CredentialError> {
        match installation.connector.auth.for_account(opened.holder().is_some()) {
            Auth::With(auth, keys) => opened.beside(self.one(installation, opened, auth).await?, keys),
            auth => self.one(installation, opened, auth).await,
        }
    }

    async fn one(
        &self,
        installation: &Installation,
        opened: &Opened,
        auth: &Auth,
    ) -> Result<Placement, CredentialError> {
        match (auth, opened.holder()) {
            // An open API knows nobody.
            (Auth::None, _) => opened.place(auth),
            (Auth::Session(plan), Some(holder)) => {
                let held = self.tokens.get(installation, Some(holder)).await?;
                let own = entered(&held)?;
                match self.sessions.get(installation, plan, own).await {
                    Ok(session) => Ok(Placement::session(session)),
                    // A login that is refused is for its holder to mend, not for an admin.
                    Err(CredentialError::Person(why)) => {
                        self.tokens.instead_of(installation, Some(holder), &held, "").await?;
                        Err(CredentialError::Later(why))
                    }
                    Err(error) => Err(error),
                }
            }
            (auth, holder @ Some(_)) => Placement::held(auth, self.tokens.get(installation, holder).await?),
            // A test of settings brings its own token.
            (Auth::OAuth2 { .. }, None) if opened.has_access_token() => opened.place(auth),
            (Auth::OAuth2 { .. }, None) => Placement::held(auth, self.tokens.get(installation, None).await?),
            (Auth::Session(plan), None) => {
                let session = self.sessions.get(installation, plan, opened).await?;
                Ok(Placement::session(session))
            }
            (auth, None) => opened.place(auth),
        }
    }

    /// What to show after the API has refused a placement with 401; `None` where nothing else can be shown, so that the refusal
    /// stands.
    ///
    /// # Errors
    /// When a person has to do something before there is anything else to show, which says more than the refusal.
    pub async fn anew(
        &self,
        installation: &Installation,
        opened: &Opened,
        refused: &Placement,
    ) -> Result<Option<Placement>, CredentialError> {
        self.anew_told(installation, opened, refused, "").await
    }

    /// The same, with what was said with the refusal (`WWW-Authenticate`): a server may ask for more than what was allowed.
    ///
    /// # Errors
    /// As for [`Self::anew`].
    pub async fn anew_told(
        &self,
        installation: &Installation,
        opened: &Opened,
        refused: &Placement,
        challenge: &str,
    ) -> Result<Option<Placement>, CredentialError> {
        match self.another(installation, opened, refused, challenge).await {
            Ok(placement) => Ok(placement),
            Err(error @ (CredentialError::Person(_) | CredentialError::Connect { .. })) => Err(error),
            Err(_) => Ok(None),
        }
    }

    async fn another(
        &self,
        installation: &Installation,
        opened: &Opened,
        refused: &Placement,
        challenge: &str,
    ) -> Result<Option<Placement>, CredentialError> {
        let (auth, keys) = match installation.connector.auth.for_account(opened.holder().is_some()) {
            Auth::With(auth, keys) => (auth.as_ref(), keys.as_slice()),
            auth => (auth, &[][..]),
        };
        let placement = match (auth, refused.shown()) {
            (auth, Shown::Held(held)) => {
                let held = self.tokens.instead_of(installation, opened.holder(), held, challenge).await?;
                held.map(|held| Placement::held(auth, held)).transpose()?
            }
            (Auth::Session(plan), Shown::Session(session)) => {
                let held = match opened.holder() {
                    holder @ Some(_) => Some(self.tokens.get(installation, holder).await?),
                    None => None,
                };
                let own = held.as_deref().map(entered).transpose()?.unwrap_or(opened);
                let session = self.sessions.instead_of(installation, plan, own, session).await?;
                session.map(Placement::session)
            }
            _ => None,
        };
        placement.map(|placement| opened.beside(placement, keys)).transpose()
    }
}

/// What a member entered to log in with.
fn entered(held: &Held) -> Result<&Opened, CredentialError> {
    match &held.secret {
        Secret::Own(own) => Ok(own),
        Secret::Token(_) => {
            Err(CredentialError::Later("the control plane gave a token where a login is made".to_owned()))
        }
    }
}
