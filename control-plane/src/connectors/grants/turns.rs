//! Whose turn it is: one exchange at a time for each account, over all processes, and what it brought kept before it is used.

use std::time::Instant;

use prost::Message as _;
use secrecy::SecretString;
use time::OffsetDateTime;
use tokio::sync::OwnedMutexGuard;
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::seal::{ACCESS_TOKEN, CredentialPlace};
use toolmesh_proto::v1;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use uuid::Uuid;

use super::super::installation::{oauth2, required_credentials};
use super::super::store as connectors;
use super::exchange::{Proof, Tokens};
use super::held::{Held, lives};
use super::store::{Brought, GrantRow};
use super::subject::{Subject, Work};
use super::{
    AccessToken, Answer, Grants, Kind, LEASE, NoToken, PATIENCE, POLL, Problem, RETRY_LATER, RETRY_SOON,
    Sealed, exchange, not_connected, plain, provider, refresh_place, store, told,
};
use crate::credentials::{self, Account};
use crate::db::TenantTx;
use crate::error::{Error, Result};

/// What a look at the row says.
enum Look {
    Done(Answer),
    /// Nobody else exchanges now.
    Mine(Box<Work>),
    /// Somebody does.
    Others,
}

impl Grants {
    /// An access token of an account that is good now. `refused` is the version that the API has just refused, 0 for none.
    ///
    /// # Errors
    /// `NotFound` for an installation that is gone or needs no such token; otherwise when the database fails.
    pub async fn access_token(
        &self,
        tenant: TenantId,
        account: impl Into<Account>,
        refused: u64,
    ) -> Result<Answer> {
        let account = account.into();
        let turn = self.turns.get_with((tenant, account), async { std::sync::Arc::default() }).await;
        let turn = turn.lock_owned().await;
        let until = Instant::now() + PATIENCE;
        loop {
            match self.look(tenant, account, refused).await? {
                Look::Done(answer) => return Ok(answer),
                Look::Mine(work) => return self.run(*work, turn).await,
                Look::Others if Instant::now() < until => tokio::time::sleep(POLL).await,
                Look::Others => {
                    return Ok(Err(NoToken::Later("its access token is being replaced".to_owned())));
                }
            }
        }
    }

    async fn look(&self, tenant: TenantId, account: Account, refused: u64) -> Result<Look> {
        let mut tx = self.db.tenant(tenant).await?;
        let (subject, missing) = match self.subject(&mut tx, account).await {
            Ok(found) => found,
            Err(Error::Field { message, .. } | Error::Refused(message)) => {
                return Ok(Look::Done(Err(NoToken::Person(plain(&message)))));
            }
            Err(error) => return Err(error),
        };
        let row = store::locked(&mut tx, account).await?;
        let now = OffsetDateTime::now_utc();
        if let Some(name) = missing {
            let text = format!("the credential {name:?} has not been set");
            return Ok(Look::Done(Err(NoToken::Person(text))));
        }
        let held = Held::of(&row, &subject, now).filter(|held| u64::from(held.version) > refused);
        if let Some(held) = held.as_ref().filter(|held| !held.is_due) {
            return Ok(Look::Done(Ok(self.hand_out(&mut tx, account, &row, held).await?)));
        }
        // From here on the token is due, or there is none.
        let failed = Kind::parse(&row.problem).filter(|_| row.problem_basis == subject.access_basis);
        let waiting = row.retry_at.is_some_and(|at| at > now);
        let leased = row.leased_until.is_some_and(|until| until > now);
        if let Some(held) = held.as_ref().filter(|_| leased || (failed.is_some() && waiting)) {
            return Ok(Look::Done(Ok(self.hand_out(&mut tx, account, &row, held).await?)));
        }
        if leased {
            return Ok(Look::Others);
        }
        if let Some(kind) = failed.filter(|_| waiting) {
            return Ok(Look::Done(Err(told(kind, &row.problem_code, account))));
        }
        let proof = self.proof(&mut tx, account, &subject, &row).await?;
        let lease = Uuid::new_v4();
        if proof.is_some() || row.access_basis.is_some() {
            store::lease(&mut tx, account, lease, LEASE.as_secs_f64()).await?;
        }
        let Some(proof) = proof else {
            // A token has ended that nothing can replace: people are told so on the page too.
            let ended = Problem::new(Kind::Reconnect, "the access token has ended");
            store::keep_problem(&mut tx, account, lease, &ended, &subject.access_basis, RETRY_LATER).await?;
            tx.commit().await?;
            self.tell_of_end(tenant, account, &ended).await;
            return Ok(Look::Done(Err(match row.access_basis {
                Some(_) => told(ended.kind, &ended.code, account),
                None => not_connected(account),
            })));
        };
        tx.commit().await?;
        Ok(Look::Mine(Box::new(subject.work(tenant, account, lease, proof, &row))))
    }

    /// The installation's auth block and secrets, and the name of the first secret that is missing. The client that asks is the
    /// workspace's for everybody; what it asks for is the account's.
    pub(super) async fn subject(
        &self,
        tx: &mut TenantTx,
        account: Account,
    ) -> Result<(Subject, Option<String>)> {
        let id = account.installation;
        let row = connectors::get(tx, id).await?.ok_or(Error::NotFound)?;
        // Neither stands in for the other.
        if row.personal != account.member.is_some() {
            return Err(Error::NotFound);
        }
        let connector = v1::Connector::decode(row.compiled.as_slice()).map_err(Error::internal)?;
        if provider::is_found(&connector) {
            let auth = oauth2(&connector).ok_or(Error::NotFound)?;
            return Ok((self.found_subject(tx, id, auth).await?, None));
        }
        let secrets = credentials::open_all(tx, &self.vault, id).await?;
        let missing = required_credentials(&connector).into_iter().find(|name| !secrets.contains_key(name));
        let auth = oauth2(&connector).ok_or(Error::NotFound)?.clone();
        Ok((Subject::new(auth, &row.base_url, secrets)?, missing))
    }

    /// What is exchanged; None where somebody has to connect first.
    async fn proof(
        &self,
        tx: &mut TenantTx,
        account: Account,
        subject: &Subject,
        row: &GrantRow,
    ) -> Result<Option<Proof>> {
        if !matches!(subject.flow, Flow::RefreshToken | Flow::AuthorizationCode) {
            return Ok(Some(subject.own_proof()?));
        }
        let newest = row.refresh().filter(|_| row.refresh_basis.as_deref() == Some(&*subject.refresh_basis));
        if let Some(sealed) = newest {
            let place = refresh_place(account);
            return Ok(Some(Proof::Refresh(
                credentials::open_secret(tx, &self.vault, &place, &sealed).await?,
            )));
        }
        (subject.flow == Flow::RefreshToken).then(|| subject.own_proof()).transpose()
    }

    async fn hand_out(
        &self,
        tx: &mut TenantTx,
        account: Account,
        row: &GrantRow,
        held: &Held,
    ) -> Result<AccessToken> {
        let place = super::access_place(account, row.version);
        let secret = credentials::open_secret(tx, &self.vault, &place, &held.sealed).await?;
        self.seal(
            tx.tenant(),
            account.installation,
            &secret,
            row.version.cast_unsigned(),
            row.epoch.cast_unsigned(),
            held.lives(),
        )
    }

    pub(super) fn seal(
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
            resource: &work.resource,
        };
        match exchange::exchange(&self.outbound, &request).await {
            Ok(tokens) => {
                tracing::info!(tenant = %work.tenant, installation = %work.account.installation, "access token obtained");
                self.keep(&work, &tokens).await
            }
            Err(problem) => {
                let (kind, code) = (problem.kind.as_str(), problem.code.as_str());
                tracing::warn!(tenant = %work.tenant, installation = %work.account.installation, kind, code, "no access token");
                let wait = if problem.kind == Kind::Provider { RETRY_SOON } else { RETRY_LATER };
                let mut tx = self.db.tenant(work.tenant).await?;
                store::keep_problem(&mut tx, work.account, work.lease, &problem, &work.access_basis, wait)
                    .await?;
                tx.commit().await?;
                self.tell_of_end(work.tenant, work.account, &problem).await;
                Ok(Err(told(problem.kind, &problem.code, work.account)))
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
        Ok(Ok(self.seal(
            work.tenant,
            work.account.installation,
            &tokens.access,
            version,
            work.epoch,
            lives,
        )?))
    }

    async fn try_keep(&self, work: &Work, tokens: &Tokens) -> Result<bool> {
        let mut tx = self.db.tenant(work.tenant).await?;
        let sealed = Sealed::new(&mut tx, &self.vault, work.account, work.version, tokens).await?;
        let brought = Brought {
            version: work.version,
            access: &sealed.access,
            access_basis: &work.access_basis,
            life_seconds: tokens.life(true).map(f64::from),
            refresh: sealed.refresh.as_ref().map(|sealed| (sealed, work.refresh_basis.as_str())),
            scope: tokens.scope.as_deref(),
        };
        let kept = store::keep(&mut tx, work.account, work.lease, &brought).await?;
        tx.commit().await?;
        Ok(kept)
    }
}
