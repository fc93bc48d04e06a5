//! What this plane shows an MCP server itself, to see what it offers: the account that calls use, or where each member uses their
//! own, that of an admin.

use std::collections::HashMap;

use secrecy::SecretString;
use toolmesh_proto::ids::{InstallationId, TenantId, UserId};

use super::nodes::Own;
use super::provider::challenge::Challenge;
use super::{Grants, NoToken, sentence, store};
use crate::credentials::Account;
use crate::error::{Error, Result};

/// What a server is shown.
pub struct Shown {
    /// By name.
    pub secrets: HashMap<String, SecretString>,
    /// Counts up with each token.
    pub version: u64,
    account: Account,
    /// It is a token, of which a server may want more allowed.
    is_token: bool,
}

impl Grants {
    /// What a server is shown. `by` is who wants to see what it offers; nobody where that is only due. `refused` is the version
    /// that it has just refused, 0 for none.
    ///
    /// # Errors
    /// `NotFound` for an installation that is gone; otherwise when the database fails. What a person has to do is the answer.
    pub async fn for_look(
        &self,
        tenant: TenantId,
        id: InstallationId,
        by: Option<UserId>,
        refused: u64,
    ) -> Result<std::result::Result<Shown, String>> {
        let (account, given) = if self.is_personal(tenant, id).await? {
            let mut tx = self.db.tenant(tenant).await?;
            let Some(member) = store::looker(&mut tx, id, by).await? else {
                let text = "No owner or admin has connected an account of their own, so it cannot be asked what it offers.";
                return Ok(Err(text.to_owned()));
            };
            drop(tx);
            let account = Account::of_member(id, member);
            (account, self.own(tenant, account, refused).await?)
        } else {
            (id.into(), self.access_token(tenant, id, refused).await?.map(Own::Token))
        };
        let own = match given {
            Ok(own) => own,
            Err(NoToken::Person(why) | NoToken::Later(why) | NoToken::Connect(why)) => {
                return Ok(Err(sentence(&why)));
            }
        };
        let (version, is_token) = (own.version(), matches!(own, Own::Token(_)));
        let mut secrets = HashMap::new();
        for one in own.sealed() {
            let secret = self.sealer.open(tenant, id, &one).map_err(Error::internal)?;
            secrets.insert(one.name, secret);
        }
        Ok(Ok(Shown { secrets, version, account, is_token }))
    }

    /// Notes what a server wants allowed beyond what was, where that is why it refused to be looked at; what a person has to do
    /// then. `challenge` is what it said with its refusal.
    ///
    /// # Errors
    /// As for [`Self::for_look`].
    pub async fn look_needs_more(
        &self,
        tenant: TenantId,
        shown: &Shown,
        challenge: &str,
    ) -> Result<Option<String>> {
        let told = Challenge::parse(challenge);
        if !shown.is_token || !told.asks_for_more() {
            return Ok(None);
        }
        self.needs_more(tenant, shown.account, &told).await?;
        let text = "The server wants more than this account was allowed (403, insufficient_scope). Connect it again to allow more.";
        Ok(Some(text.to_owned()))
    }
}
