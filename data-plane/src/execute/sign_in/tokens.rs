//! What the control plane hands out when a call needs it, in memory until it ends: access tokens of OAuth 2, one for all calls of
//! an installation, and members' own accounts, each for the calls of one caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use moka::sync::Cache;
use secrecy::SecretString;
use tokio::sync::Mutex;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::seal::Sealer;
use toolmesh_proto::v1;
use toolmesh_proto::v1::access_token_answer::Answer;
use toolmesh_proto::v1::no_access_token::Reason;

use super::{FRESH, Failed};
use crate::catalog::{Connector, Holder, Installation};
use crate::execute::credentials::{CredentialError, Opened};
use crate::sync::channel::ControlPlane;

/// Installations and callers whose tokens are kept; one that nobody needs for an hour is forgotten.
const KEPT: u64 = 100_000;
const IDLE: Duration = Duration::from_secs(3600);
/// After a failure the next token is not asked for ahead of time for so long.
const PAUSE: Duration = Duration::from_secs(5);

/// What was handed out.
pub(in crate::execute) enum Secret {
    Token(SecretString),
    /// What a member entered for themselves, shown as a stored credential is.
    Own(Opened),
}

/// A token, or what a member entered, that is good now. Does not print.
pub struct Held {
    pub(in crate::execute) secret: Secret,
    pub(in crate::execute) version: u64,
    epoch: u64,
    ends: Instant,
    /// From when on the next one is asked for, beside the calls.
    due: Instant,
    got: Instant,
    /// It was got because the one before was refused.
    in_place: bool,
    /// Whether the API has taken it.
    taken: AtomicBool,
}

impl Held {
    /// The API has taken it.
    pub(in crate::execute) fn prove(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// Whether another one might be taken where this is refused.
    fn may_be_at_fault(&self) -> bool {
        !self.in_place || self.taken.load(Ordering::Relaxed) || self.got.elapsed() >= FRESH
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "access token {} of epoch {}", self.version, self.epoch)
    }
}

/// What is known of one installation's token.
#[derive(Debug, Default)]
struct Slot {
    held: ArcSwapOption<Held>,
    failed: ArcSwapOption<Failed>,
    /// One asks at a time.
    turn: Arc<Mutex<()>>,
}

impl Slot {
    /// The token, if it has not ended and nobody has ended it.
    fn good(&self, epoch: u64) -> Option<Arc<Held>> {
        self.held.load_full().filter(|held| held.epoch >= epoch && Instant::now() < held.ends)
    }

    fn failed_since(&self, moment: Instant) -> Option<CredentialError> {
        self.failed.load().as_ref().filter(|failed| failed.at >= moment).map(|failed| failed.error.clone())
    }
}

/// Keeps tokens. Cheap to clone; clones share what is kept.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// None where nobody could be asked, as on an author's command line.
    control: Option<ControlPlane>,
    sealer: Sealer,
    slots: Cache<(TenantId, InstallationId, Option<Subject>), Arc<Slot>>,
}

/// Whose token is meant: the workspace's, or a caller's own.
#[derive(Clone, Copy)]
struct Place<'a> {
    tenant: TenantId,
    installation: InstallationId,
    caller: Option<Subject>,
    epoch: u64,
    /// How what was entered is shown.
    connector: &'a Arc<Connector>,
    holder: Option<Holder>,
}

/// What an API has just refused, and what it said with it.
#[derive(Clone, Copy)]
struct Refused<'a> {
    version: u64,
    challenge: &'a str,
}

impl Refused<'_> {
    const NOTHING: Self = Self { version: 0, challenge: "" };
}

impl<'a> Place<'a> {
    fn of(installation: &'a Installation, holder: Option<Holder>) -> Self {
        Self {
            tenant: installation.tenant,
            installation: installation.id,
            caller: holder.map(|holder| holder.subject),
            epoch: holder.map_or(installation.grant_epoch, |holder| holder.epoch),
            connector: &installation.connector,
            holder,
        }
    }
}

impl Tokens {
    #[must_use]
    pub fn new(control: Option<ControlPlane>, sealer: Sealer) -> Self {
        Self { control, sealer, slots: Cache::builder().max_capacity(KEPT).time_to_idle(IDLE).build() }
    }

    /// The token of an installation. While it is good but due, the next one is asked for beside the call.
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn get(
        &self,
        installation: &Installation,
        holder: Option<Holder>,
    ) -> Result<Arc<Held>, CredentialError> {
        let (place, began) = (Place::of(installation, holder), Instant::now());
        let slot = self.slot(place);
        let Some(held) = slot.good(place.epoch) else {
            return self.fetch(&slot, place, began, Refused::NOTHING).await;
        };
        let paused = began.checked_sub(PAUSE).is_some_and(|moment| slot.failed_since(moment).is_some());
        if began >= held.due
            && !paused
            && let Ok(turn) = Arc::clone(&slot.turn).try_lock_owned()
        {
            let (this, connector) = (self.clone(), Arc::clone(place.connector));
            let Place { tenant, installation, caller, epoch, holder, .. } = place;
            tokio::spawn(async move {
                let _turn = turn;
                // What goes wrong is told to operators there; the token that is held is still good.
                let place = Place { tenant, installation, caller, epoch, holder, connector: &connector };
                let _ = this.ask(&slot, place, Refused::NOTHING).await;
            });
        }
        Ok(held)
    }

    /// Another token than the one that was refused; `None` where there is none.
    ///
    /// # Errors
    /// Says why none could be had.
    pub async fn instead_of(
        &self,
        installation: &Installation,
        holder: Option<Holder>,
        refused: &Held,
        challenge: &str,
    ) -> Result<Option<Arc<Held>>, CredentialError> {
        let (place, began) = (Place::of(installation, holder), Instant::now());
        let slot = self.slot(place);
        if challenge.is_empty() && !refused.may_be_at_fault() {
            return Ok(slot.good(place.epoch).filter(|held| held.version > refused.version));
        }
        let told = Refused { version: refused.version, challenge };
        let held = self.fetch(&slot, place, began, told).await?;
        Ok(Some(held).filter(|held| held.version > refused.version))
    }

    fn slot(&self, place: Place<'_>) -> Arc<Slot> {
        self.slots.get_with((place.tenant, place.installation, place.caller), Arc::default)
    }

    /// Waits for one's turn and asks, unless somebody before has done so.
    async fn fetch(
        &self,
        slot: &Slot,
        place: Place<'_>,
        began: Instant,
        refused: Refused<'_>,
    ) -> Result<Arc<Held>, CredentialError> {
        let _turn = slot.turn.lock().await;
        if let Some(held) = slot.good(place.epoch).filter(|held| held.version > refused.version) {
            return Ok(held);
        }
        match slot.failed_since(began) {
            Some(error) => Err(error),
            None => self.ask(slot, place, refused).await,
        }
    }

    async fn ask(
        &self,
        slot: &Slot,
        place: Place<'_>,
        refused: Refused<'_>,
    ) -> Result<Arc<Held>, CredentialError> {
        match self.answer(place, refused).await {
            Ok(held) => {
                let held = Arc::new(held);
                slot.held.store(Some(Arc::clone(&held)));
                slot.failed.store(None);
                Ok(held)
            }
            Err(error) => {
                tracing::warn!(tenant = %place.tenant, installation = %place.installation, %error, "no access token");
                slot.failed.store(Some(Arc::new(Failed { at: Instant::now(), error: error.clone() })));
                Err(error)
            }
        }
    }

    async fn answer(&self, place: Place<'_>, refused: Refused<'_>) -> Result<Held, CredentialError> {
        let request = v1::AccessTokenRequest {
            tenant_id: place.tenant.to_string(),
            installation_id: place.installation.to_string(),
            refused_version: refused.version,
            challenge: refused.challenge.to_owned(),
            caller: place.caller.map(|caller| caller.to_string()).unwrap_or_default(),
        };
        let away = || {
            let text = "its access token has ended, and the control plane, which gets the next one, is away";
            CredentialError::Later(text.to_owned())
        };
        let control = self.control.as_ref().ok_or_else(away)?;
        let asked = Instant::now();
        let answer = control.access_token(request).await.map_err(|_| away())?;
        match answer.answer {
            Some(Answer::Token(token)) => self.token(place, token, asked, refused.version > 0),
            Some(Answer::Own(own)) => self.own(place, &own, asked, refused.version > 0),
            Some(Answer::None(none)) => Err(match none.reason() {
                Reason::Connect => CredentialError::Connect { why: none.detail, url: none.connect_url },
                Reason::Later => CredentialError::Later(none.detail),
                Reason::Unspecified => CredentialError::Person(none.detail),
            }),
            None => {
                Err(CredentialError::Later("the control plane gave an answer of an unknown kind".to_owned()))
            }
        }
    }

    fn token(
        &self,
        place: Place<'_>,
        token: v1::AccessToken,
        asked: Instant,
        in_place: bool,
    ) -> Result<Held, CredentialError> {
        let sealed = token.sealed.unwrap_or_default();
        let secret = self.sealer.open(place.tenant, place.installation, &sealed).map_err(|_| {
            CredentialError::Later("its access token cannot be opened on this node".to_owned())
        })?;
        let after = |seconds: u32| asked + Duration::from_secs(u64::from(seconds));
        Ok(Held {
            secret: Secret::Token(secret),
            version: sealed.version,
            epoch: token.epoch,
            ends: after(token.expires_in_seconds),
            due: after(token.refresh_after_seconds.max(1)),
            got: asked,
            in_place,
            taken: AtomicBool::new(false),
        })
    }

    /// What a member entered; what of it cannot be opened is a failure where it is shown.
    fn own(
        &self,
        place: Place<'_>,
        own: &v1::OwnCredentials,
        asked: Instant,
        in_place: bool,
    ) -> Result<Held, CredentialError> {
        let Some(holder) = place.holder else {
            let text = "the control plane gave somebody's own account for the workspace's";
            return Err(CredentialError::Later(text.to_owned()));
        };
        let opened =
            Opened::open(&self.sealer, place.tenant, place.installation, &own.sealed, &place.connector.auth);
        let after = |seconds: u32| asked + Duration::from_secs(u64::from(seconds));
        Ok(Held {
            secret: Secret::Own(opened.of(Some(holder)).entered(own.version)),
            version: own.version,
            epoch: own.epoch,
            ends: after(own.expires_in_seconds),
            due: after(own.refresh_after_seconds.max(1)),
            got: asked,
            in_place,
            taken: AtomicBool::new(false),
        })
    }
}
