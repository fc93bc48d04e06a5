//! Access tokens for the APIs that installations call (OAuth 2): got once for all who ask, kept sealed, replaced before they end.
//!
//! What a token is got with never leaves this plane: nodes ask for tokens, which live for minutes. Owns the exchange with the
//! token endpoint, who may exchange at a time (`turns`), and a person's way to the provider and back (`consent`). An account is the
//! workspace's, or a member's own; what was got for one is never used for another. What nodes are given of it is in `nodes`.
//!
//! One exchange at a time for each account, over all processes: a lease in its row. The row is not locked while the
//! provider is asked, so that nobody waits for a stranger inside the database. A refresh token that changes with each use is
//! kept before the access token beside it is handed out, and the exchange runs to its end even if who asked has gone. What no
//! order can mend is a process that dies between the provider's answer and the commit: then the old refresh token is tried
//! again, which providers that allow for lost answers take; others answer `invalid_grant`, and the installation says that it
//! has to be connected again. Access tokens that nodes hold go on until they end.

pub mod consent;
mod ended;
mod exchange;
mod for_tests;
mod giving_back;
mod held;
mod jwt;
mod looks;
mod nodes;
pub mod provider;
mod store;
mod subject;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;
use toolmesh_proto::ids::{InstallationId, TenantId, UserId};
use toolmesh_proto::seal::Sealer;
use toolmesh_proto::v1;
use toolmesh_proto::v1::{OAuth2Auth, SealedCredential};

use crate::credentials::envelope::Vault;
use crate::credentials::{self, Account};
use crate::db::{Db, TenantTx};
use crate::error::Result;
use crate::mail::Mailer;
use crate::outbound::Outbound;
use exchange::Tokens;

pub use giving_back::GivenBack;
pub use looks::Shown;
pub use nodes::Handed;
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
/// For how long nodes are told of a member's account that changed, in seconds.
const CHANGED_LATELY: f64 = 25.0 * 3600.0;
/// What is told where nobody has consented yet.
const NOT_CONNECTED: &str = "nobody has connected it to its provider yet, so it has to be connected";
const NOT_CONNECTED_BY_YOU: &str = "you have not connected an account of yours yet";

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
    /// The caller has to connect their own account.
    Connect(String),
}

type Answer = std::result::Result<AccessToken, NoToken>;

/// The capability with what it needs. Cheap to clone; clones share their turns.
#[derive(Clone)]
pub struct Grants {
    pub(super) db: Db,
    pub(super) vault: Vault,
    sealer: Sealer,
    outbound: Outbound,
    mailer: Mailer,
    console_origin: String,
    /// One at a time in this process, so that many who ask cost the database one look.
    turns: Cache<(TenantId, Account), Arc<Mutex<()>>>,
    /// Exchanges under way; the process ends after them.
    tasks: TaskTracker,
}

impl Grants {
    #[must_use]
    pub fn new(
        db: Db,
        vault: Vault,
        sealer: Sealer,
        outbound: Outbound,
        mailer: Mailer,
        console_origin: String,
    ) -> Self {
        let turns = Cache::builder().max_capacity(100_000).time_to_idle(Duration::from_secs(600)).build();
        Self { db, vault, sealer, outbound, mailer, console_origin, turns, tasks: TaskTracker::new() }
    }

    /// Waits for the exchanges under way.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
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
        account: Account,
        version: i64,
        tokens: &Tokens,
    ) -> Result<Self> {
        use secrecy::ExposeSecret as _;
        let access = tokens.access.expose_secret();
        let access = credentials::seal_secret(tx, vault, &access_place(account, version), access).await?;
        let refresh = match &tokens.refresh {
            None => None,
            Some(token) => {
                let place = refresh_place(account);
                Some(credentials::seal_secret(tx, vault, &place, token.expose_secret()).await?)
            }
        };
        Ok(Self { access, refresh })
    }
}

fn access_place(account: Account, version: i64) -> String {
    format!("upstream access token|{account}|{version}")
}

fn refresh_place(account: Account) -> String {
    format!("upstream refresh token|{account}")
}

/// What a caller is told of a problem, who is followed by whom to ask.
fn told(kind: Kind, code: &str, account: Account) -> NoToken {
    match kind {
        Kind::Reconnect if account.member.is_some() => {
            NoToken::Connect(format!("its provider has ended your connection ({code})"))
        }
        Kind::Scope if account.member.is_some() => {
            NoToken::Connect(format!("its provider does not give the access that is asked for ({code})"))
        }
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

fn not_connected(account: Account) -> NoToken {
    match account.member {
        None => NoToken::Person(NOT_CONNECTED.to_owned()),
        Some(_) => NoToken::Connect(NOT_CONNECTED_BY_YOU.to_owned()),
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
    store::end(tx, id.into(), false).await
}

/// Forgets all that was got for an installation, for members too.
///
/// # Errors
/// When the database fails.
pub(super) async fn forget(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    consent::end(tx, id).await?;
    store::end_all(tx, id).await
}

/// The same, and where it was got: the installation is another service's from now on, which must not be shown what was given
/// to this one.
///
/// # Errors
/// When the database fails.
pub(super) async fn forget_service(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    provider::forget(tx, id).await?;
    forget(tx, id).await
}

/// Epochs of all grants, for the bundle.
///
/// # Errors
/// When the database fails.
pub(super) async fn epochs(tx: &mut TenantTx) -> Result<HashMap<InstallationId, u64>> {
    store::epochs(tx).await
}

/// Members' own accounts that changed lately, for the bundle: longer than nodes keep what they were given.
///
/// # Errors
/// When the database fails.
pub(super) async fn changed_lately(
    tx: &mut TenantTx,
) -> Result<HashMap<InstallationId, Vec<v1::ConnectionEpoch>>> {
    store::changed_lately(tx, CHANGED_LATELY).await
}

/// What the console shows of the workspace's grants of all installations, or of one; or of a member's own.
///
/// # Errors
/// When the database fails.
pub(super) async fn facts(
    tx: &mut TenantTx,
    only: Option<InstallationId>,
    member: Option<UserId>,
) -> Result<HashMap<InstallationId, GrantFacts>> {
    store::facts(tx, only, member).await
}

/// Makes sure that a member's account has a row, and locks it.
///
/// # Errors
/// When the database fails.
pub(super) async fn of_member(tx: &mut TenantTx, account: Account) -> Result<()> {
    store::locked(tx, account).await.map(|_| ())
}

/// Notes that a member entered what their account is used with.
///
/// # Errors
/// When the database fails.
pub(super) async fn entered(tx: &mut TenantTx, account: Account, by: UserId) -> Result<()> {
    store::enter(tx, account, by).await
}

/// Lets the service accounts that a member made use their account, or no longer.
///
/// # Errors
/// When the database fails.
pub(super) async fn lend(tx: &mut TenantTx, account: Account, lent: bool) -> Result<()> {
    store::lend(tx, account, lent).await
}

/// How many members have connected an account of their own.
///
/// # Errors
/// When the database fails.
pub(super) async fn connected(tx: &mut TenantTx, id: InstallationId) -> Result<i64> {
    store::connected(tx, id).await
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
        let workspace = Account::of_workspace(InstallationId::new());
        for (kind, words) in [
            (Kind::Reconnect, "has to be connected again"),
            (Kind::Client, "has to be replaced"),
            (Kind::Scope, "has to be allowed there"),
        ] {
            let NoToken::Person(text) = told(kind, "code", workspace) else { panic!("{kind:?}") };
            assert!(text.contains(words) && text.contains("(code)"), "{text}");
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert!(matches!(told(Kind::Provider, "status 503", workspace), NoToken::Later(_)));
        assert_eq!(Kind::parse(""), None);
    }
}
