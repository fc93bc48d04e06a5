//! Connecting an installation to a person's account: off to the provider with PKCE and a state, and back with a code.
//!
//! The state is good once, for ten minutes, in the browser that it was made in, for the person who made it and while they may
//! change connectors: nobody can have another finish what they began, or slip their own account into another's workspace.

mod store;

use prost::Message as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use toolmesh_proto::ids::{InstallationId, TenantId, UserId};
use toolmesh_proto::v1;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use url::Url;

use self::store::Left;
use super::super::installation::oauth2;
use super::super::store::{self as connectors, InstallationRow};
use super::exchange::{self, Proof, Tokens};
use super::provider::is_found;
use super::store::{self as held, Brought};
use super::subject::Subject;
use super::{Grants, Kind, NoToken, Sealed, sentence, told};
use crate::accounts::external::Browser;
use crate::accounts::members::{self, Membership, Permission};
use crate::credentials::token::{self, Token};
use crate::credentials::{self, Account};
use crate::db::TenantTx;
use crate::error::{Error, Result};

/// How long somebody may take at the provider, in minutes.
const MINUTES: i32 = 10;

/// Longest code that is looked at, in bytes.
const MAX_CODE: usize = 4096;

/// What the browser brings back.
#[derive(Clone, Default, Deserialize)]
pub struct Callback {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    error: Option<String>,
    /// Who answers (RFC 9207).
    #[serde(default)]
    iss: Option<String>,
}

/// Where somebody came back to.
pub struct Arrived {
    pub tenant: TenantId,
    pub installation: InstallationId,
    /// Whether it was for an account of their own.
    pub personal: bool,
    /// What became of it; `Refused` with what the provider said.
    pub outcome: Result<()>,
}

impl Grants {
    /// Where providers send people back to; what an admin registers there.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("{}/connections/callback", self.console_origin)
    }

    /// Begins: the address that the browser goes to. Where each member uses an account of their own, it is for theirs.
    ///
    /// # Errors
    /// `Refused` while something is missing.
    pub async fn connect(&self, by: &Membership, id: InstallationId, browser: &Browser) -> Result<Url> {
        let mut tx = self.db.tenant(by.tenant).await?;
        let row = connected_by_people(&mut tx, id).await?;
        let account = whose(by, &row)?;
        if is_found(&decode(&row)?) {
            drop(tx);
            self.prepare(by.tenant, id, &row.base_url).await?;
            tx = self.db.tenant(by.tenant).await?;
        }
        let (subject, missing) = self.subject(&mut tx, account).await?;
        let client_id = subject.client_id();
        let (None, Some(client_id)) = (missing, client_id) else {
            return Err(Error::Refused(match account.member {
                None => "Enter the client id and secret first, then connect.".to_owned(),
                Some(_) => {
                    "Its client id and secret are not entered yet. Ask an owner or admin to do so.".to_owned()
                }
            }));
        };
        let url = exchange::resolve(&subject.auth.authorize_url, &row.base_url)?;
        self.outbound
            .policy()
            .check_url(&url)
            .map_err(|error| Error::Refused(format!("The provider's address cannot be used: {error}.")))?;
        let state = Token::new(&format!("{}.", by.tenant))?;
        let verifier = Token::new("")?.secret;
        let place = verifier_place(account, &state.hash);
        let sealed = credentials::seal_secret(&mut tx, &self.vault, &place, verifier.expose_secret()).await?;
        let left = Left {
            state_hash: &state.hash,
            account,
            user: by.user,
            browser_hash: browser.hash(),
            verifier: &sealed,
            issuer: &subject.issuer,
            scope: &subject.auth.scopes.join(" "),
        };
        store::insert_consent(&mut tx, &left, MINUTES).await?;
        tx.commit().await?;
        Ok(self.address(url, &subject, client_id, &state.secret, &verifier))
    }

    fn address(
        &self,
        mut url: Url,
        subject: &Subject,
        client_id: &SecretString,
        state: &SecretString,
        verifier: &SecretString,
    ) -> Url {
        let scope = subject.auth.scopes.join(" ");
        let challenge = {
            use base64::Engine as _;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token::hash(verifier.expose_secret()))
        };
        {
            let mut query = url.query_pairs_mut();
            for param in &subject.auth.authorization_params {
                query.append_pair(&param.name, &param.value);
            }
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", client_id.expose_secret())
                .append_pair("redirect_uri", &self.redirect_uri())
                .append_pair("state", state.expose_secret())
                .append_pair("code_challenge", &challenge)
                .append_pair("code_challenge_method", "S256");
            if !scope.is_empty() {
                query.append_pair("scope", &scope);
            }
            if !subject.resource.is_empty() {
                query.append_pair("resource", &subject.resource);
            }
        }
        url
    }

    /// Takes what the browser brought back. The state is used up by this, whatever comes of it.
    ///
    /// # Errors
    /// `Gone` for a state that is not of this browser and person, or used, or too old; `Forbidden` for who may no longer.
    pub async fn back(&self, callback: &Callback, browser: &Browser, user: UserId) -> Result<Arrived> {
        let gone = || {
            Error::Gone(
                "This connection was begun in another browser or by somebody else, was used already, or took longer than ten minutes. Begin again.",
            )
        };
        let tenant = callback.state.split('.').next().and_then(|id| id.parse::<TenantId>().ok());
        let tenant = tenant.filter(|_| callback.state.len() <= 200).ok_or_else(gone)?;
        let mut tx = self.db.tenant(tenant).await?;
        let hash = token::hash(&callback.state);
        let row = store::take_consent(&mut tx, &hash, browser.hash()).await?.ok_or_else(gone)?;
        let sealed = credentials::envelope::Sealed { nonce: row.nonce, ciphertext: row.verifier };
        let account =
            Account { installation: row.installation_id, member: Some(row.user_id).filter(|_| row.personal) };
        let place = verifier_place(account, &hash);
        let verifier = credentials::open_secret(&mut tx, &self.vault, &place, &sealed).await?;
        tx.commit().await?;
        if row.user_id != user {
            return Err(gone());
        }
        let left = LeftFor { issuer: row.issuer, scope: row.scope };
        let member = members::membership(&self.db, tenant, user).await?;
        if account.member.is_none() {
            member.require(Permission::Connectors)?;
        }
        let (this, callback) = (self.clone(), callback.clone());
        // To its end, even if the browser goes away: a code is good once.
        let task =
            self.tasks.spawn(async move { this.redeem(&member, account, &callback, verifier, &left).await });
        let outcome = task.await.map_err(Error::internal)?;
        let installation = account.installation;
        Ok(Arrived { tenant, installation, personal: account.member.is_some(), outcome })
    }

    async fn redeem(
        &self,
        by: &Membership,
        account: Account,
        callback: &Callback,
        verifier: SecretString,
        left: &LeftFor,
    ) -> Result<()> {
        let mut tx = self.db.tenant(by.tenant).await?;
        let (subject, _) = self.subject(&mut tx, account).await?;
        tx.commit().await?;
        answers(callback, left, &subject)?;
        if let Some(error) = &callback.error {
            let code = exchange::code_word(error);
            return Err(Error::Refused(match code {
                "access_denied" => {
                    "The provider says that access was not allowed. Nothing was changed.".to_owned()
                }
                code => format!("The provider ended it: {code}. Nothing was changed."),
            }));
        }
        let code = callback.code.as_deref().filter(|code| (1..=MAX_CODE).contains(&code.len()));
        let code =
            code.ok_or_else(|| Error::Refused("The provider sent nobody back: no code.".to_owned()))?;
        let proof =
            Proof::Code { code: SecretString::from(code), verifier, redirect_uri: self.redirect_uri() };
        let tokens = exchange::exchange(&self.outbound, &subject.request(&proof)).await;
        if let Err(problem) = &tokens
            && problem.kind == Kind::Client
            && !subject.issuer.is_empty()
        {
            // One that registered itself and is known no more registers again with the next connection.
            self.forget_client(by.tenant, &subject.issuer).await?;
        }
        let tokens =
            tokens.map_err(|problem| {
                tracing::warn!(installation = %account.installation, code = problem.code, "a consent could not be redeemed");
                Error::Refused(match (problem.kind, told(problem.kind, &problem.code, account)) {
                    (Kind::Reconnect, _) => {
                        format!("The provider does not take the code ({}). Begin again.", problem.code)
                    }
                    (Kind::Client, _) => {
                        format!(
                            "The provider does not take the client id and secret ({}). Compare them.",
                            problem.code
                        )
                    }
                    (_, NoToken::Person(why) | NoToken::Later(why) | NoToken::Connect(why)) => sentence(&why),
                })
            })?;
        self.keep_consent(by, account, &subject, &tokens, &left.scope).await
    }

    async fn keep_consent(
        &self,
        by: &Membership,
        account: Account,
        subject: &Subject,
        tokens: &Tokens,
        asked: &str,
    ) -> Result<()> {
        let mut tx = self.db.tenant(by.tenant).await?;
        let version = held::locked(&mut tx, account).await?.version + 1;
        let sealed = Sealed::new(&mut tx, &self.vault, account, version, tokens).await?;
        let brought = Brought {
            version,
            access: &sealed.access,
            access_basis: &subject.access_basis,
            life_seconds: tokens.life(tokens.refresh.is_some()).map(f64::from),
            refresh: sealed.refresh.as_ref().map(|sealed| (sealed, subject.refresh_basis.as_str())),
            scope: tokens.scope.as_deref().or(Some(asked)),
        };
        held::connect(&mut tx, account, by.user, &tokens.account, &brought).await?;
        tx.commit_change().await?;
        tracing::info!(tenant = %by.tenant, installation = %account.installation, "installation connected to its provider");
        Ok(())
    }
}

/// The row of an installation that people connect; others have nothing to connect.
pub(super) async fn connected_by_people(tx: &mut TenantTx, id: InstallationId) -> Result<InstallationRow> {
    let row = connectors::get(tx, id).await?.ok_or(Error::NotFound)?;
    let connector = decode(&row)?;
    if is_connected_by_people(&connector) {
        return Ok(row);
    }
    Err(Error::Refused(
        "This connector calls with a stored credential, so there is nothing to connect.".to_owned(),
    ))
}

/// Whether somebody logs in at a provider to connect it.
pub(super) fn is_connected_by_people(connector: &v1::Connector) -> bool {
    oauth2(connector).is_some_and(|auth| auth.flow() == Flow::AuthorizationCode)
}

fn decode(row: &InstallationRow) -> Result<v1::Connector> {
    v1::Connector::decode(row.compiled.as_slice()).map_err(Error::internal)
}

/// Ends the logins that are under way; who comes back from one begins again.
///
/// # Errors
/// When the database fails.
pub(super) async fn end(tx: &mut TenantTx, id: InstallationId) -> Result<()> {
    store::end_consents(tx, id).await
}

/// Which authorization server somebody left for, and what was asked of it.
struct LeftFor {
    issuer: String,
    scope: String,
}

/// Whether it is the provider that was left for who answers: otherwise another one's code or error would be taken for its own
/// (RFC 9207). Its name is compared as it is written.
fn answers(callback: &Callback, left: &LeftFor, subject: &Subject) -> Result<()> {
    let other = || {
        let text = "The answer came from another authorization server than the one that you left for. Nothing was changed.";
        Error::Refused(text.to_owned())
    };
    if left.issuer != subject.issuer {
        return Err(Error::Refused(
            "Its authorization server changed while you were there. Begin again.".to_owned(),
        ));
    }
    match &callback.iss {
        _ if left.issuer.is_empty() => Ok(()),
        Some(issuer) if *issuer == left.issuer => Ok(()),
        None if !subject.names_itself => Ok(()),
        Some(_) | None => Err(other()),
    }
}

/// Whose account somebody connects: their own where each member uses their own, which everybody may; otherwise the workspace's.
pub(super) fn whose(by: &Membership, row: &InstallationRow) -> Result<Account> {
    if row.personal {
        return Ok(Account::of_member(row.id, by.user));
    }
    by.require(Permission::Connectors)?;
    Ok(Account::of_workspace(row.id))
}

fn verifier_place(account: Account, state_hash: &[u8]) -> String {
    format!("upstream verifier|{account}|{}", toolmesh_proto::hex(state_hash))
}
