//! Access tokens for the APIs that installations call (OAuth 2): got once for all who ask, kept sealed, replaced before they end.
//!
//! What a token is got with never leaves this plane: nodes ask for tokens, which live for minutes. Owns the exchange with the
//! token endpoint, who may exchange at a time, and a person's way to the provider and back (`consent`). Knows no node.
//!
//! One exchange at a time for each installation, over all processes: a lease in its row. The row is not locked while the
//! provider is asked, so that nobody waits for a stranger inside the database. A refresh token that changes with each use is
//! kept before the access token beside it is handed out, and the exchange runs to its end even if who asked has gone. What no
//! order can mend is a process that dies between the provider's answer and the commit: then the old refresh token is tried
//! again, which providers that allow for lost answers take; others answer `invalid_grant`, and the installation says that it
//! has to be connected again. Access tokens that nodes hold go on until they end.

pub mod consent;
mod exchange;
mod held;
mod jwt;
mod store;
mod subject;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use prost::Message as _;
use secrecy::SecretString;
use time::OffsetDateTime;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::task::TaskTracker;
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::seal::{ACCESS_TOKEN, CredentialPlace, Sealer};
use toolmesh_proto::v1;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use toolmesh_proto::v1::{OAuth2Auth, SealedCredential};
use uuid::Uuid;

use super::installation::{oauth2, required_credentials};
use super::store as connectors;
use crate::credentials;
use crate::credentials::envelope::Vault;
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};
use crate::outbound::Outbound;
use exchange::{Proof, Tokens};
use held::{Held, lives};
use store::{Brought, GrantRow};
use subject::{Subject, Work};

pub use store::GrantFacts;

/// How long one exchange holds the others back at most: longer than a token endpoint is waited for.
const LEASE: Duration = Duration::from_secs(15);
/// Longest wait for an exchange that another process makes.
const PATIENCE: Duration = Duration::from_secs(12);
/// How often it is looked whether that has ended.
const POLL: Duration = Duration::from_millis(150);
/// When an exchange is tried again that failed for a reason that may pass, and for one that somebody has to mend.
const RETRY_SOON: f64 = 3.0;
const RETRY_LATER: f64 = 60.0;
/// What is told where nobody has consented yet.
const NOT_CONNECTED: &str = "nobody has connected it to its provider yet, so it has to be connected";

/// What keeps a token from being got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The consent or refresh token is worth nothing any more.
    Reconnect,
    /// The provider does not take the client's id or secret, or the service account's key.
    Client,
    /// It does not give the scopes that are asked for.
    Scope,
    /// It could not be reached, or answered with what is no token.
    Provider,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::Client => "client",
            Self::Scope => "scope",
            Self::Provider => "provider",
        }
    }

    /// `None` for no problem.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Reconnect, Self::Client, Self::Scope, Self::Provider]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Why an exchange brought nothing; holds no secret.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    kind: Kind,
    /// The provider's error code, or what went wrong on the way there.
    code: String,
}

impl Problem {
    fn new(kind: Kind, code: impl Into<String>) -> Self {
        Self { kind, code: code.into() }
    }
}

/// An access token that is good now, sealed for nodes.
pub struct AccessToken {
    pub sealed: SealedCredential,
    pub epoch: u64,
    pub expires_in: u32,
    pub refresh_after: u32,
}

/// Why there is none. Each text completes "The API was not called: "; those of `Person` are followed by whom to ask "to do so".
pub enum NoToken {
    Person(String),
    Later(String),
}

type Answer = std::result::Result<AccessToken, NoToken>;

/// The capability with what it needs. Cheap to clone; clones share their turns.
#[derive(Clone)]
pub struct Grants {
    db: Db,
    vault: Vault,
    sealer: Sealer,
    outbound: Outbound,
    console_origin: String,
    /// One at a time in this process, so that many who ask cost the database one look.
    turns: Cache<(TenantId, InstallationId), Arc<Mutex<()>>>,
    /// Exchanges under way; the process ends after them.
    tasks: TaskTracker,
}

/// What a look at the row says.
enum Look {
    Done(Answer),
    /// Nobody else exchanges now.
    Mine(Box<Work>),
    /// Somebody does.
    Others,
}

impl Grants {
    #[must_use]
    pub fn new(db: Db, vault: Vault, sealer: Sealer, outbound: Outbound, console_origin: String) -> Self {
        let turns = Cache::builder().max_capacity(100_000).time_to_idle(Duration::from_secs(600)).build();
        Self { db, vault, sealer, outbound, console_origin, turns, tasks: TaskTracker::new() }
    }

    /// An access token of an installation that is good now. `refused` is the version that the API has just refused, 0 for none.
    ///
    /// # Errors
    /// `NotFound` for an installation that is gone or needs no such token; otherwise when the database fails.
    pub async fn access_token(&self, tenant: TenantId, id: InstallationId, refused: u64) -> Result<Answer> {
        let turn = self.turns.get_with((tenant, id), async { Arc::default() }).await;
        let turn = turn.lock_owned().await;
        let until = Instant::now() + PATIENCE;
        loop {
            match self.look(tenant, id, refused).await? {
                Look::Done(answer) => return Ok(answer),
                Look::Mine(work) => return self.run(*work, turn).await,
                Look::Others if Instant::now() < until => tokio::time::sleep(POLL).await,
                Look::Others => {
                    return Ok(Err(NoToken::Later("its access token is being replaced".to_owned())));
                }
            }
        }
    }

    /// Waits for the exchanges under way.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn look(&self, tenant: TenantId, id: InstallationId, refused: u64) -> Result<Look> {
        let mut tx = self.db.tenant(tenant).await?;
        let (subject, missing) = match self.subject(&mut tx, id).await {
            Ok(found) => found,
            Err(Error::Field { message, .. } | Error::Refused(message)) => {
                return Ok(Look::Done(Err(NoToken::Person(plain(&message)))));
            }
            Err(error) => return Err(error),
        };
        let row = store::locked(&mut tx, id).await?;
        let now = OffsetDateTime::now_utc();
        if let Some(name) = missing {
            let text = format!("the credential {name:?} has not been set");
            return Ok(Look::Done(Err(NoToken::Person(text))));
        }
        let held = Held::of(&row, &subject, now).filter(|held| u64::from(held.version) > refused);
        if let Some(held) = held.as_ref().filter(|held| !held.is_due) {
            return Ok(Look::Done(Ok(self.hand_out(&mut tx, id, &row, held).await?)));
        }
        // From here on the token is due, or there is none.
        let failed = Kind::parse(&row.problem).filter(|_| row.problem_basis == subject.access_basis);
        let waiting = row.retry_at.is_some_and(|at| at > now);
        let leased = row.leased_until.is_some_and(|until| until > now);
        if let Some(held) = held.as_ref().filter(|_| leased || (failed.is_some() && waiting)) {
            return Ok(Look::Done(Ok(self.hand_out(&mut tx, id, &row, held).await?)));
        }
        if leased {
            return Ok(Look::Others);
        }
        if let Some(kind) = failed.filter(|_| waiting) {
            return Ok(Look::Done(Err(told(kind, &row.problem_code))));
        }
        let proof = self.proof(&mut tx, id, &subject, &row).await?;
        let lease = Uuid::new_v4();
        if proof.is_some() || row.access_basis.is_some() {
            store::lease(&mut tx, id, lease, LEASE.as_secs_f64()).await?;
        }
        let Some(proof) = proof else {
            // A token has ended that nothing can replace: people are told so on the page too.
            let ended = Problem::new(Kind::Reconnect, "the access token has ended");
            store::keep_problem(&mut tx, id, lease, &ended, &subject.access_basis, RETRY_LATER).await?;
            tx.commit().await?;
            return Ok(Look::Done(Err(match row.access_basis {
                Some(_) => told(ended.kind, &ended.code),
                None => NoToken::Person(NOT_CONNECTED.to_owned()),
            })));
        };
        tx.commit().await?;
        Ok(Look::Mine(Box::new(subject.work(tenant, id, lease, proof, &row))))
    }

    /// The installation's auth block and secrets, and the name of the first secret that is missing.
    async fn subject(&self, tx: &mut TenantTx, id: InstallationId) -> Result<(Subject, Option<String>)> {
        let row = connectors::get(tx, id).await?.ok_or(Error::NotFound)?;
        let connector = v1::Connector::decode(row.compiled.as_slice()).map_err(Error::internal)?;
        let secrets = credentials::open_all(tx, &self.vault, id).await?;
        let missing = required_credentials(&connector).into_iter().find(|name| !secrets.contains_key(name));
        let auth = oauth2(&connector).ok_or(Error::NotFound)?.clone();
        Ok((Subject::new(auth, &row.base_url, secrets)?, missing))
    }

    /// What is exchanged; None where somebody has to connect first.
    async fn proof(
        &self,
        tx: &mut TenantTx,
        id: InstallationId,
        subject: &Subject,
        row: &GrantRow,
    ) -> Result<Option<Proof>> {
        if !matches!(subject.flow, Flow::RefreshToken | Flow::AuthorizationCode) {
            return Ok(Some(subject.own_proof()?));
        }
        let newest = row.refresh().filter(|_| row.refresh_basis.as_deref() == Some(&*subject.refresh_basis));
        if let Some(sealed) = newest {
            let place = refresh_place(id);
            return Ok(Some(Proof::Refresh(
                credentials::open_secret(tx, &self.vault, &place, &sealed).await?,
            )));
        }
        (subject.flow == Flow::RefreshToken).then(|| subject.own_proof()).transpose()
    }

    async fn hand_out(
        &self,
        tx: &mut TenantTx,
        id: InstallationId,
        row: &GrantRow,
        held: &Held,
    ) -> Result<AccessToken> {
        let place = access_place(id, row.version);
        let secret = credentials::open_secret(tx, &self.vault, &place, &held.sealed).await?;
        self.seal(
            tx.tenant(),
            id,
            &secret,
            row.version.cast_unsigned(),
            row.epoch.cast_unsigned(),
            held.lives(),
        )
    }

    fn seal(
        &self,
        tenant: TenantId,
        installation: InstallationId,
        secret: &SecretString,
        version: u64,
        epoch: u64,
        (expires_in, refresh_after): (u32, u32),
    ) -> Result<AccessToken> {
        let place = CredentialPlace { tenant, installation, name: ACCESS_TOKEN };
        let sealed = self.sealer.seal(place, version, secret).map_err(Error::internal)?;
        Ok(AccessToken { sealed, epoch, expires_in, refresh_after })
    }

    /// Makes an exchange, to its end even if who asked has gone: what a provider has answered must not be lost.
    async fn run(&self, work: Work, turn: OwnedMutexGuard<()>) -> Result<Answer> {
        let this = self.clone();
        let task = self.tasks.spawn(async move {
            let _turn = turn;
            this.exchange(work).await
        });
        task.await.map_err(Error::internal)?
    }

    async fn exchange(&self, work: Work) -> Result<Answer> {
        let request = exchange::Request {
            auth: &work.auth,
            token_url: &work.token_url,
            client_id: work.client_id.as_ref(),
            client_secret: work.client_secret.as_ref(),
            proof: &work.proof,
        };
        match exchange::exchange(&self.outbound, &request).await {
            Ok(tokens) => {
                tracing::info!(tenant = %work.tenant, installation = %work.id, "access token obtained");
                self.keep(&work, &tokens).await
            }
            Err(problem) => {
                let (kind, code) = (problem.kind.as_str(), problem.code.as_str());
                tracing::warn!(tenant = %work.tenant, installation = %work.id, kind, code, "no access token");
                let wait = if problem.kind == Kind::Provider { RETRY_SOON } else { RETRY_LATER };
                let mut tx = self.db.tenant(work.tenant).await?;
                store::keep_problem(&mut tx, work.id, work.lease, &problem, &work.access_basis, wait).await?;
                tx.commit().await?;
                Ok(Err(told(problem.kind, &problem.code)))
            }
        }
    }

    /// Keeps what was got before anybody uses it. A database that is away for a moment is waited for: the provider may take the
    /// old refresh token no more.
    async fn keep(&self, work: &Work, tokens: &Tokens) -> Result<Answer> {
        let until = Instant::now() + LEASE;
        let kept = loop {
            match self.try_keep(work, tokens).await {
                Err(Error::Db(error)) if error.is_away() && Instant::now() < until => {
                    tracing::warn!(%error, "an access token could not be kept yet");
                    tokio::time::sleep(POLL).await;
                }
                other => break other?,
            }
        };
        if !kept {
            // Somebody disconnected or replaced the secret meanwhile; nothing of before is handed out.
            return Ok(Err(NoToken::Later("its connection was changed at this moment".to_owned())));
        }
        let life = tokens.life(true);
        let lives = lives(life, life, work.auth.refresh_before_seconds);
        let version = work.version.cast_unsigned();
        Ok(Ok(self.seal(work.tenant, work.id, &tokens.access, version, work.epoch, lives)?))
    }

    async fn try_keep(&self, work: &Work, tokens: &Tokens) -> Result<bool> {
        let mut tx = self.db.tenant(work.tenant).await?;
        let sealed = Sealed::new(&mut tx, &self.vault, work.id, work.version, tokens).await?;
        let brought = Brought {
            version: work.version,
            access: &sealed.access,
            access_basis: &work.access_basis,
            life_seconds: tokens.life(true).map(f64::from),
            refresh: sealed.refresh.as_ref().map(|sealed| (sealed, work.refresh_basis.as_str())),
            scope: tokens.scope.as_deref(),
        };
        let kept = store::keep(&mut tx, work.id, work.lease, &brought).await?;
        tx.commit().await?;
        Ok(kept)
    }

    /// An access token for a test of settings that may not be saved: `installation` holds them with its credentials sealed. What
    /// is exchanged here is not kept, so nothing that can be exchanged only once is.
    ///
    /// # Errors
    /// `Refused` with what keeps the test from being made.
    pub async fn for_test(
        &self,
        tenant: TenantId,
        saved: Option<InstallationId>,
        connector: &v1::Connector,
        installation: &v1::Installation,
    ) -> Result<SealedCredential> {
        let auth = oauth2(connector).ok_or(Error::NotFound)?.clone();
        let flow = auth.flow();
        if let Some(id) = saved {
            return match self.access_token(tenant, id, 0).await? {
                Ok(token) => Ok(token.sealed),
                Err(NoToken::Person(why) | NoToken::Later(why)) => Err(Error::Refused(sentence(&why))),
            };
        }
        if flow == Flow::AuthorizationCode {
            return Err(Error::Refused(
                "Enable the connector and connect it first. Then it can be tested.".to_owned(),
            ));
        }
        if flow == Flow::RefreshToken && auth.rotates_refresh_token {
            let text = "Enable the connector first: a test before that would use the refresh token up.";
            return Err(Error::Refused(text.to_owned()));
        }
        let id: InstallationId = installation.id.parse().map_err(Error::internal)?;
        let mut secrets = HashMap::new();
        for sealed in &installation.credentials {
            let secret = self.sealer.open(tenant, id, sealed).map_err(Error::internal)?;
            secrets.insert(sealed.name.clone(), (0, secret));
        }
        if let Some(name) =
            required_credentials(connector).into_iter().find(|name| !secrets.contains_key(name))
        {
            return Err(Error::Refused(format!("Enter the credential {name:?} first.")));
        }
        let subject = Subject::new(auth, &installation.base_url, secrets)?;
        let proof = subject.own_proof()?;
        let request = subject.request(&proof);
        let tokens = exchange::exchange(&self.outbound, &request).await.map_err(|problem| {
            let (NoToken::Person(why) | NoToken::Later(why)) = told(problem.kind, &problem.code);
            Error::Refused(sentence(&why))
        })?;
        Ok(self.seal(tenant, id, &tokens.access, 0, 0, (60, 60))?.sealed)
    }
}

/// Both tokens of an exchange, sealed in their places.
struct Sealed {
    access: credentials::envelope::Sealed,
    refresh: Option<credentials::envelope::Sealed>,
}

impl Sealed {
    async fn new(
        tx: &mut TenantTx,
        vault: &Vault,
        id: InstallationId,
        version: i64,
        tokens: &Tokens,
    ) -> Result<Self> {
        use secrecy::ExposeSecret as _;
        let access = tokens.access.expose_secret();
        let access = credentials::seal_secret(tx, vault, &access_place(id, version), access).await?;
        let refresh = match &tokens.refresh {
            None => None,
            Some(token) => {
                let place = refresh_place(id);
                Some(credentials::seal_secret(tx, vault, &place, token.expose_secret()).await?)
            }
        };
        Ok(Self { access, refresh })
    }
}

fn access_place(id: InstallationId, version: i64) -> String {
    format!("upstream access token|{id}|{version}")
}

fn refresh_place(id: InstallationId) -> String {
    format!("upstream refresh token|{id}")
}

/// What a caller is told of a problem, who is followed by whom to ask.
fn told(kind: Kind, code: &str) -> NoToken {
    match kind {
        Kind::Reconnect => NoToken::Person(format!(
            "its provider has ended the connection ({code}), so it has to be connected again"
        )),
        Kind::Client => NoToken::Person(format!(
            "its provider does not take the stored client id, secret or key ({code}), so it has to be replaced"
        )),
        Kind::Scope => NoToken::Person(format!(
            "its provider does not give the access that is asked for ({code}), so it has to be allowed there"
        )),
        Kind::Provider => NoToken::Later(format!("its provider gave no access token ({code})")),
    }
}

/// A sentence for the middle of another.
fn plain(sentence: &str) -> String {
    let text = sentence.trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}", first.to_lowercase(), chars.as_str()))
}

/// Capital letter and full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

/// Ends what nodes hold after the secrets of an installation have changed; a person's consent stays.
///
/// # Errors
/// When the database fails.
pub(super) async fn secrets_changed(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    store::end(tx, id, false).await
}

/// Forgets all that was got for an installation.
///
/// # Errors
/// When the database fails.
pub(super) async fn forget(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    store::end(tx, id, true).await
}

/// Epochs of all grants, for the bundle.
///
/// # Errors
/// When the database fails.
pub(super) async fn epochs(tx: &mut TenantTx) -> Result<HashMap<InstallationId, u64>> {
    store::epochs(tx).await
}

/// What the console shows of the grants of all installations, or of one.
///
/// # Errors
/// When the database fails.
pub(super) async fn facts(
    tx: &mut TenantTx,
    only: Option<InstallationId>,
) -> Result<HashMap<InstallationId, GrantFacts>> {
    store::facts(tx, only).await
}

/// A secret as it is kept: a service account's key in one line, once it is sure that it is one.
///
/// # Errors
/// A field error for what is no such key.
pub(super) fn as_kept(auth: Option<&OAuth2Auth>, name: &str, secret: SecretString) -> Result<SecretString> {
    match auth {
        Some(auth) if auth.service_account_credential == name => jwt::in_one_line(&secret),
        _ => Ok(secret),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_problem_names_who_has_to_do_what() {
        for (kind, words) in [
            (Kind::Reconnect, "has to be connected again"),
            (Kind::Client, "has to be replaced"),
            (Kind::Scope, "has to be allowed there"),
        ] {
            let NoToken::Person(text) = told(kind, "code") else { panic!("{kind:?}") };
            assert!(text.contains(words) && text.contains("(code)"), "{text}");
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert!(matches!(told(Kind::Provider, "status 503"), NoToken::Later(_)));
        assert_eq!(Kind::parse(""), None);
    }
}
