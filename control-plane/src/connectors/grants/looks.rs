//! What this plane shows an MCP server itself, to see what it offers: the account that calls use, or where each member uses their
//! own, that of an admin.

use std::collections::HashMap;

use secrecy::SecretString;
use toolmesh_proto::ids::{InstallationId, TenantId, UserId};

use super::{Grants, NoToken, sentence, store};
use crate::credentials::Account;
use crate::error::{Error, Result};

impl Grants {
    /// The secrets that a server is shown, by name. `by` is who wants to see what it offers; nobody where that is only due.
    ///
    /// # Errors
    /// `NotFound` for an installation that is gone; otherwise when the database fails. What a person has to do is the answer.
    pub async fn for_look(
        &self,
        tenant: TenantId,
        id: InstallationId,
        by: Option<UserId>,
    ) -> Result<std::result::Result<HashMap<String, SecretString>, String>> {
        let given = if self.is_personal(tenant, id).await? {
            let mut tx = self.db.tenant(tenant).await?;
            let Some(member) = store::looker(&mut tx, id, by).await? else {
                let text = "No owner or admin has connected an account of their own, so it cannot be asked what it offers.";
                return Ok(Err(text.to_owned()));
            };
            drop(tx);
            self.own(tenant, Account::of_member(id, member), 0).await?.map(super::nodes::Own::sealed)
        } else {
            self.access_token(tenant, id, 0).await?.map(|token| vec![token.sealed])
        };
        let sealed = match given {
            Ok(sealed) => sealed,
            Err(NoToken::Person(why) | NoToken::Later(why) | NoToken::Connect(why)) => {
                return Ok(Err(sentence(&why)));
            }
        };
        let mut secrets = HashMap::new();
        for one in sealed {
            let secret = self.sealer.open(tenant, id, &one).map_err(Error::internal)?;
            secrets.insert(one.name, secret);
        }
        Ok(Ok(secrets))
    }
}
