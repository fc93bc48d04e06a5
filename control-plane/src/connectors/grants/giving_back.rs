//! Ending a connection: what was got is deleted, nodes forget it, and the provider is told where it takes that (RFC 7009).

use std::time::Duration;

use secrecy::SecretString;
use toolmesh_proto::ids::InstallationId;

use super::super::store::{self as connectors, InstallationRow};
use super::consent::{connected_by_people, whose};
use super::store::GrantRow;
use super::subject::Subject;
use super::{Grants, access_place, exchange, refresh_place, store};
use crate::accounts::members::Membership;
use crate::audit;
use crate::credentials::{self, Account};
use crate::db::TenantTx;
use crate::error::{Error, Result};

/// Longest wait for a provider to take a token back: a person waits for the page.
const WITHIN: Duration = Duration::from_secs(5);

/// Most bytes of its answer; nothing of it is read.
const MAX_ANSWER: usize = 64 * 1024;

/// The token that stands for a connection at its provider.
struct HeldThere {
    subject: Subject,
    token: SecretString,
    /// `refresh_token` or `access_token`.
    kind: &'static str,
}

/// What became of the access at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBack {
    /// It was taken back there too.
    Revoked,
    /// The provider names no way to do so, or there was nothing to take back.
    NotAsked,
    /// It was asked and did not do it.
    Failed,
}

impl Grants {
    /// Ends a connection: the member's own where each uses their own, otherwise the workspace's. Every node forgets what it was
    /// given, and what that was got with is deleted; then the provider is told, if it can be.
    ///
    /// # Errors
    /// `Refused` for an installation that people do not connect.
    pub async fn disconnect(&self, by: &Membership, id: InstallationId) -> Result<GivenBack> {
        let mut tx = self.db.tenant(by.tenant).await?;
        let row = connectors::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let row = if row.personal { row } else { connected_by_people(&mut tx, id).await? };
        let account = whose(by, &row)?;
        let grant = store::locked(&mut tx, account).await?;
        let held = self.held_at_provider(&mut tx, account, &grant).await?;
        if account.member.is_some() {
            credentials::forget_account(&mut tx, account).await?;
        }
        store::end(&mut tx, account, true).await?;
        tx.commit_change().await?;
        tracing::info!(tenant = %by.tenant, installation = %id, "disconnected from a provider");
        let (this, by) = (self.clone(), *by);
        // To its end, even if the browser goes away: nothing here knows the token any more.
        let task = self.tasks.spawn(async move {
            let given_back = this.give_back(held, id).await;
            this.note_end(&by, &row, given_back).await.map(|()| given_back)
        });
        task.await.map_err(Error::internal)?
    }

    /// Has the provider take a token back. What comes of that keeps nobody from disconnecting.
    async fn give_back(&self, held: Option<HeldThere>, id: InstallationId) -> GivenBack {
        let Some(HeldThere { subject, token, kind }) = held else { return GivenBack::NotAsked };
        let request = exchange::Revocation {
            url: &subject.revocation_url,
            token: &token,
            kind,
            client_id: subject.client_id(),
            client_secret: subject.client_secret(),
            by_header: subject.auth.basic_client_auth,
        };
        match exchange::revoke(&self.outbound, &request, MAX_ANSWER, WITHIN).await {
            Ok(()) => GivenBack::Revoked,
            Err(problem) => {
                tracing::warn!(installation = %id, code = problem.code, "a provider did not take a token back");
                GivenBack::Failed
            }
        }
    }

    async fn note_end(&self, by: &Membership, row: &InstallationRow, given_back: GivenBack) -> Result<()> {
        let whose = if row.personal { "their own account" } else { "the workspace's account" };
        let there = match given_back {
            GivenBack::Revoked => "its tokens were taken back at the provider",
            GivenBack::NotAsked => "the provider was not asked to take tokens back",
            GivenBack::Failed => "the provider did not take the tokens back",
        };
        let reason = format!("Disconnected {whose} from {}; {there}.", row.name);
        let mut tx = self.db.tenant(by.tenant).await?;
        let ended = audit::Beside::ended(row.id, Some(by.user), reason, given_back != GivenBack::Failed);
        audit::note(&mut tx, ended).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The token that stands for the connection at its provider, where that takes tokens back. What another provider gave
    /// before addresses or definition changed is shown to nobody, and what cannot be read any more is no reason not to
    /// disconnect.
    async fn held_at_provider(
        &self,
        tx: &mut TenantTx,
        account: Account,
        grant: &GrantRow,
    ) -> Result<Option<HeldThere>> {
        let Ok((subject, _)) = self.subject(tx, account).await else { return Ok(None) };
        if subject.revocation_url.is_empty() {
            return Ok(None);
        }
        let refresh =
            grant.refresh().filter(|_| grant.refresh_basis.as_deref() == Some(&*subject.refresh_basis));
        let access = grant.access().filter(|_| grant.access_basis.as_deref() == Some(&*subject.access_basis));
        let (sealed, place, kind) = match (refresh, access) {
            (Some(sealed), _) => (sealed, refresh_place(account), "refresh_token"),
            (None, Some(sealed)) => (sealed, access_place(account, grant.version), "access_token"),
            (None, None) => return Ok(None),
        };
        let token = credentials::open_secret(tx, &self.vault, &place, &sealed).await.ok();
        Ok(token.map(|token| HeldThere { subject, token, kind }))
    }
}
