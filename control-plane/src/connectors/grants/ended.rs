//! An account that its provider has ended: whoever can connect it again is told by mail, once for each end, and the audit log
//! says so.
//!
//! Of a member's own account that is the member; of the workspace's, who may change connectors. It comes to light with the next
//! call or look that needs a token.

use prost::Message as _;
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1;

use super::super::store as connectors;
use super::consent::is_connected_by_people;
use super::{Grants, Kind, Problem, store};
use crate::accounts::members::{self, Member, Permission};
use crate::audit;
use crate::credentials::Account;
use crate::error::{Error, Result};
use crate::mail::{DisconnectedMail, Message};
use crate::tenants;

/// Most who are told of one end.
const MOST_TOLD: usize = 20;

impl Grants {
    /// Tells of a problem, if it is that an account which worked has ended. What goes wrong with that is only logged: the caller
    /// has an answer to give.
    pub(super) async fn tell_of_end(&self, tenant: TenantId, account: Account, problem: &Problem) {
        if problem.kind != Kind::Reconnect {
            return;
        }
        if let Err(error) = self.try_tell(tenant, account, &problem.code).await {
            tracing::warn!(error = ?error, %tenant, installation = %account.installation, "nobody was told that a connection has ended");
        }
    }

    async fn try_tell(&self, tenant: TenantId, account: Account, code: &str) -> Result<()> {
        let mut tx = self.db.tenant(tenant).await?;
        if !store::tell(&mut tx, account).await? {
            return Ok(());
        }
        let id = account.installation;
        let row = connectors::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let connector = v1::Connector::decode(row.compiled.as_slice()).map_err(Error::internal)?;
        let whose =
            if account.member.is_some() { "a member's own account" } else { "the workspace's account" };
        let reason = format!("The provider has ended the connection of {} to {whose} ({code}).", row.name);
        let ended = audit::Beside::ended(id, account.member, reason, false);
        audit::note(&mut tx, ended).await?;
        let told = members::list(&mut tx).await?;
        tx.commit().await?;
        let workspace = tenants::by_id(&self.db, tenant).await?;
        let page = if account.member.is_some() { "connections" } else { "connectors" };
        for person in told.iter().filter(|person| is_told(person, account)).take(MOST_TOLD) {
            self.mailer.send(Message::disconnected(DisconnectedMail {
                to: &person.email,
                name: &person.name,
                workspace: &workspace.name,
                connector: &connector.title,
                own: account.member.is_some(),
                by_consent: is_connected_by_people(&connector),
                code,
                link: format!("{}/w/{}/{page}/{id}", self.console_origin, workspace.slug),
            })?);
        }
        tracing::info!(%tenant, installation = %id, code, "a connection has ended, and people are told");
        Ok(())
    }
}

fn is_told(person: &Member, account: Account) -> bool {
    let theirs = match account.member {
        Some(member) => person.user_id == member,
        None => person.role.may(Permission::Connectors),
    };
    theirs && person.suspended_at.is_none()
}
