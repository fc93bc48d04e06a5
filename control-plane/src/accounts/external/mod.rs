//! Logging in elsewhere: with Google, Microsoft or GitHub, or with a company's own OpenID Connect provider.
//!
//! Owns the way there and back (`oidc`, `github`), what somebody is known as at a provider (`people`), and a workspace's own
//! provider with its domains (`company`, `domains`). Who logs in is known by issuer and subject. An address is believed only
//! where the provider has verified it, and even then no account that exists is joined to it without its owner's say.

pub mod company;
pub mod domains;
mod github;
mod id_token;
pub mod oidc;
pub mod people;
pub mod providers;
mod store;
#[cfg(test)]
mod tests_of_tokens;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use moka::future::Cache;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use tokio::sync::Semaphore;
use toolmesh_proto::ids::{TenantId, UserId};
use url::Url;

use super::throttle::ClientNetwork;
use crate::credentials::envelope::{SealedValues, Vault};
use crate::credentials::token::{self, Token};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::mail::Mailer;
use crate::outbound::Outbound;
use id_token::Claims;
use oidc::{Oidc, Secrets};
use providers::{Provider, Registration, Registrations};

/// How long a login at a provider may take.
const ATTEMPT_LIFE: Duration = Duration::minutes(10);

/// Logins that one network may start, at once and each minute.
const STARTS: NonZeroU32 = match NonZeroU32::new(60) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

/// Logins that are finished at one provider at a time: a slow one keeps its own people waiting, and nobody else's.
const AT_ONCE: usize = 8;

/// Longest wait for one's turn at a provider.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// A browser, by something only it has: what is begun in one is not finished in another. Prints nothing.
#[derive(Clone)]
pub struct Browser(Vec<u8>);

impl Browser {
    /// By the value of a cookie of its own.
    #[must_use]
    pub fn of(cookie: &str) -> Self {
        Self(token::hash(&format!("sign-in|{cookie}")))
    }

    fn text(&self) -> String {
        toolmesh_proto::hex(&self.0)
    }

    /// Names the browser in a row; it cannot be turned back into the cookie.
    #[must_use]
    pub fn hash(&self) -> &[u8] {
        &self.0
    }
}

/// Why somebody is sent to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    LogIn,
    /// To be known there from now on.
    Link(UserId),
    /// An admin tries the settings; nobody is logged in.
    Test(UserId),
}

/// A login that was started; sealed in the database until the browser comes back.
#[derive(Clone, Serialize, Deserialize)]
pub struct Attempt {
    pub provider: Provider,
    pub purpose: Purpose,
    /// A path of the console, judged again when it is used.
    pub next: String,
    nonce: String,
    verifier: String,
}

/// What the browser brings back.
#[derive(Clone, Default, Deserialize)]
pub struct Callback {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    iss: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// Who somebody is, as a provider says.
pub struct Profile {
    pub issuer: String,
    pub subject: String,
    pub email: Option<String>,
    /// Whether the provider has seen that the address is theirs.
    pub email_verified: bool,
    pub name: String,
    /// What the provider calls them: an address or a login.
    pub label: String,
    pub claims: Claims,
}

/// The capability, with what it needs. Cheap to clone.
#[derive(Clone)]
pub struct External {
    db: Db,
    vault: Vault,
    mailer: Mailer,
    outbound: Outbound,
    oidc: Oidc,
    known: Arc<Registrations>,
    attempts: SealedValues,
    tickets: SealedValues,
    mailed: SealedValues,
    turns: Cache<Provider, Arc<Semaphore>>,
    starts: Arc<DefaultKeyedRateLimiter<String>>,
    letters: Arc<DefaultKeyedRateLimiter<String>>,
    console_origin: String,
    dns_server: Option<SocketAddr>,
}

/// What it is made from.
pub struct Parts {
    pub db: Db,
    pub vault: Vault,
    pub mailer: Mailer,
    pub outbound: Outbound,
    pub known: Registrations,
    pub console_origin: String,
    /// Who is asked about domains; None for the system's resolver.
    pub dns_server: Option<SocketAddr>,
}

impl External {
    /// # Errors
    /// Only if the crypto library refuses.
    pub fn new(parts: Parts) -> Result<Self> {
        let letters = Quota::per_hour(NonZeroU32::MIN.saturating_add(4));
        Ok(Self {
            attempts: parts.vault.sealed_values("sign-in attempt v1")?,
            tickets: parts.vault.sealed_values("sign-in ticket v1")?,
            mailed: parts.vault.sealed_values("sign-in mailed ticket v1")?,
            oidc: Oidc::new(parts.outbound.clone()),
            known: Arc::new(parts.known),
            turns: Cache::new(10_000),
            starts: Arc::new(RateLimiter::keyed(Quota::per_minute(STARTS))),
            letters: Arc::new(RateLimiter::keyed(letters)),
            db: parts.db,
            vault: parts.vault,
            mailer: parts.mailer,
            outbound: parts.outbound,
            console_origin: parts.console_origin,
            dns_server: parts.dns_server,
        })
    }

    /// The deployment's providers, in the order of their buttons.
    #[must_use]
    pub fn offered(&self) -> Vec<Provider> {
        self.known.offered()
    }

    /// Where a provider sends the browser back to; registered there.
    #[must_use]
    pub fn redirect_uri(&self, provider: Provider) -> String {
        format!("{}/login/callback/{}", self.console_origin, provider.key())
    }

    /// Begins a login: the address that the browser goes to.
    ///
    /// # Errors
    /// `NotFound` for a provider that is not offered; `Refused` for one that cannot be used; `TooMany` for too many.
    pub async fn start(
        &self,
        provider: Provider,
        purpose: Purpose,
        next: &str,
        browser: &Browser,
        network: &ClientNetwork,
    ) -> Result<Url> {
        if self.starts.check_key(&network.as_str().to_owned()).is_err() {
            return Err(Error::TooMany(10));
        }
        let state = Token::new("")?;
        let attempt = Attempt {
            provider,
            purpose,
            next: next.chars().take(2000).collect(),
            nonce: Token::new("")?.secret.expose_secret().to_owned(),
            verifier: Token::new("")?.secret.expose_secret().to_owned(),
        };
        let redirect_uri = self.redirect_uri(provider);
        let secrets = Secrets {
            state: state.secret.expose_secret(),
            nonce: &attempt.nonce,
            verifier: &attempt.verifier,
            redirect_uri: &redirect_uri,
        };
        let url = match (provider, &self.known.github) {
            (Provider::Github, Some(github)) => github::way_there(&self.outbound, github, &secrets)?,
            _ => {
                let (client, groups) = self.client(provider).await?;
                self.oidc.way_there(&client, &secrets, !groups.is_empty()).await?
            }
        };
        let mut tx = self.db.global().await?;
        let ends = OffsetDateTime::now_utc() + ATTEMPT_LIFE;
        store::insert_attempt(&mut tx, &state.hash, &browser.0, &self.attempts.seal(&attempt)?, ends).await?;
        tx.commit().await?;
        Ok(url)
    }

    /// Takes what the browser brought back. The attempt is used up by this, whatever comes of it.
    ///
    /// # Errors
    /// `Gone` for a state that is not of this browser and provider, or used, or too old.
    pub async fn back(&self, provider: Provider, callback: &Callback, browser: &Browser) -> Result<Attempt> {
        let mut tx = self.db.global().await?;
        let sealed = store::take_attempt(&mut tx, &token::hash(&callback.state), &browser.0).await?;
        tx.commit().await?;
        let attempt: Option<Attempt> = sealed.and_then(|sealed| self.attempts.open(&sealed));
        attempt.filter(|attempt| attempt.provider == provider).ok_or(Error::Gone(
            "This login was begun in another browser, was used already, or took longer than ten minutes. Begin again.",
        ))
    }

    /// Who came back.
    ///
    /// # Errors
    /// `Refused` with what the provider said or what is wrong with its answer.
    pub async fn who(&self, attempt: &Attempt, callback: &Callback) -> Result<Profile> {
        if let Some(error) = &callback.error {
            return Err(Error::Refused(format!("The provider ended the login: {}.", code_word(error))));
        }
        let code = callback.code.as_deref().filter(|code| !code.is_empty() && code.len() <= 4096);
        let code =
            code.ok_or_else(|| Error::Refused("The provider sent nobody back: no code.".to_owned()))?;
        let turns = self.turns.get_with(attempt.provider, async { Arc::new(Semaphore::new(AT_ONCE)) }).await;
        let turn = tokio::time::timeout(PATIENCE, turns.acquire()).await;
        let _turn = turn.map_err(|_| Error::Busy)?.map_err(Error::internal)?;
        let redirect_uri = self.redirect_uri(attempt.provider);
        let secrets = Secrets {
            state: &callback.state,
            nonce: &attempt.nonce,
            verifier: &attempt.verifier,
            redirect_uri: &redirect_uri,
        };
        if let (Provider::Github, Some(github)) = (attempt.provider, &self.known.github) {
            return github::way_back(&self.outbound, github, &secrets, code).await;
        }
        let (client, groups) = self.client(attempt.provider).await?;
        let iss = callback.iss.as_deref();
        let claims = self.oidc.way_back(&client, &secrets, code, iss, &groups).await?;
        Ok(profile(attempt.provider, claims))
    }

    /// Us as a provider knows us, and the claim that holds groups.
    async fn client(&self, provider: Provider) -> Result<(Registration, String)> {
        let known = match provider {
            Provider::Google => self.known.google.clone(),
            Provider::Microsoft => self.known.microsoft.clone(),
            Provider::Github => None,
            Provider::Company(tenant) => return self.company_client(tenant).await,
        };
        known.map(|client| (client, String::new())).ok_or(Error::NotFound)
    }

    async fn company_client(&self, tenant: TenantId) -> Result<(Registration, String)> {
        let mut tx = self.db.tenant(tenant).await?;
        let settings = store::provider(&mut tx).await?.ok_or_else(company::none_yet)?;
        let secret = company::open_secret(&mut tx, &self.vault, &settings).await?;
        let (issuer, client_id) = (settings.issuer, settings.client_id);
        Ok((Registration { issuer, client_id, client_secret: secret, shared: false }, settings.groups_claim))
    }

    /// Forgets logins that were never finished.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy(&self) -> Result<()> {
        self.starts.retain_recent();
        self.letters.retain_recent();
        let mut tx = self.db.global().await?;
        store::prune_attempts(&mut tx).await?;
        Ok(tx.commit().await?)
    }
}

/// What the claims of a token say of somebody.
fn profile(provider: Provider, claims: Claims) -> Profile {
    let text = |name: &str| claims.get(name).and_then(serde_json::Value::as_str).map(str::trim);
    let text = |name: &str| text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let email = text("email");
    let verified = match provider {
        // Anybody may write any address into their own directory; it counts where Microsoft says that the directory has
        // proven its domain.
        Provider::Microsoft => is_true(claims.get("xms_edov")),
        // A company speaks for the domains it has proven to us; it need not say so with each address.
        Provider::Company(_) => claims.get("email_verified").is_none_or(|claim| is_true(Some(claim))),
        Provider::Google | Provider::Github => is_true(claims.get("email_verified")),
    };
    Profile {
        issuer: text("iss").unwrap_or_default(),
        subject: text("sub").unwrap_or_default(),
        email_verified: verified && email.is_some(),
        name: text("name").or_else(|| email.clone()).unwrap_or_default(),
        label: email.clone().or_else(|| text("preferred_username")).unwrap_or_default(),
        email,
        claims,
    }
}

/// Providers write truth as a boolean, a text or a number.
fn is_true(claim: Option<&serde_json::Value>) -> bool {
    claim.is_some_and(|value| {
        value.as_bool() == Some(true)
            || value.as_str() == Some("true")
            || value.as_str() == Some("1")
            || value == 1
    })
}

/// A provider's error code, if it is one: nothing else of what a stranger sent is repeated.
fn code_word(text: &str) -> &str {
    let plain =
        text.len() <= 60 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b' '));
    if plain { text } else { "an error without a name" }
}

/// An error's sentence, for an error that is shared between callers.
fn said(error: &Error) -> String {
    match error {
        Error::Refused(text) => text.clone(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn verified(provider: Provider, claims: Value) -> bool {
        let Value::Object(claims) = claims else { panic!("no claims") };
        profile(provider, claims).email_verified
    }

    #[test]
    fn an_address_counts_as_verified_only_where_its_provider_says_so() {
        let with = |name: &str, value: Value| json!({ "email": "ana@example.com", name: value });
        assert!(verified(Provider::Google, with("email_verified", json!(true))));
        assert!(verified(Provider::Google, with("email_verified", json!("true"))));
        assert!(!verified(Provider::Google, with("email_verified", json!(false))));
        assert!(!verified(Provider::Google, json!({ "email": "ana@example.com" })));
        // Of Microsoft's addresses only those of proven domains count, whatever else is said.
        assert!(!verified(Provider::Microsoft, with("email_verified", json!(true))));
        assert!(verified(Provider::Microsoft, with("xms_edov", json!("1"))));
        assert!(!verified(Provider::Microsoft, with("xms_edov", json!(0))));
        let company = Provider::Company(TenantId::new());
        assert!(verified(company, json!({ "email": "ana@example.com" })));
        assert!(!verified(company, with("email_verified", json!(false))));
        assert!(!verified(company, json!({ "email_verified": true })));
    }

    #[test]
    fn nothing_of_what_a_stranger_sent_is_repeated_but_a_code() {
        assert_eq!(code_word("access_denied"), "access_denied");
        assert_eq!(code_word("<script>alert(1)</script>"), "an error without a name");
        assert_eq!(code_word(&"a".repeat(61)), "an error without a name");
    }
}
