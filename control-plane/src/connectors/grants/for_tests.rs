//! Credentials for a test of settings that may not be saved. What is exchanged for one is not kept.

use std::collections::HashMap;

use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::v1;
use toolmesh_proto::v1::SealedCredential;
use toolmesh_proto::v1::o_auth2_auth::Flow;

use super::super::installation::{entered_by_members, is_for_nodes, oauth2, required_credentials};
use super::subject::Subject;
use super::{Grants, NoToken, exchange, sentence, told};
use crate::accounts::members::Membership;
use crate::credentials::Account;
use crate::error::{Error, Result};

impl Grants {
    /// What a test is made with: `installation` holds the settings with their credentials sealed. One that is saved is tested with
    /// the account that calls use, which is the tester's own where each member uses their own. Nothing that can be exchanged
    /// only once is exchanged here.
    ///
    /// # Errors
    /// `Refused` with what keeps the test from being made.
    pub async fn for_test(
        &self,
        by: &Membership,
        saved: Option<InstallationId>,
        connector: &v1::Connector,
        installation: &v1::Installation,
    ) -> Result<Vec<SealedCredential>> {
        let refused = |why: &str| Err(Error::Refused(sentence(why)));
        // Keys that are the workspace's whatever stands beside them.
        let beside = |own: &[String]| -> Vec<SealedCredential> {
            let all = installation.credentials.iter();
            let beside = all.filter(|one| is_for_nodes(connector, &one.name) && !own.contains(&one.name));
            beside.cloned().collect()
        };
        if let Some(id) = saved
            && self.is_personal(by.tenant, id).await?
        {
            return match self.own(by.tenant, Account::of_member(id, by.user), 0).await? {
                Ok(given) => Ok([given.sealed(), beside(&entered_by_members(connector))].concat()),
                Err(NoToken::Connect(why)) => {
                    refused(&format!("{why}. Connect yours under Connections first"))
                }
                Err(NoToken::Person(why) | NoToken::Later(why)) => refused(&why),
            };
        }
        let Some(auth) = oauth2(connector).cloned() else { return Ok(installation.credentials.clone()) };
        if let Some(id) = saved {
            return match self.access_token(by.tenant, id, 0).await? {
                Ok(token) => Ok([vec![token.sealed], beside(&[])].concat()),
                Err(NoToken::Person(why) | NoToken::Later(why) | NoToken::Connect(why)) => refused(&why),
            };
        }
        let flow = auth.flow();
        if flow == Flow::AuthorizationCode {
            return refused("enable the connector and connect it first. Then it can be tested");
        }
        if flow == Flow::RefreshToken && auth.rotates_refresh_token {
            return refused("enable the connector first: a test before that would use the refresh token up");
        }
        let id: InstallationId = installation.id.parse().map_err(Error::internal)?;
        let mut secrets = HashMap::new();
        for sealed in &installation.credentials {
            let secret = self.sealer.open(by.tenant, id, sealed).map_err(Error::internal)?;
            secrets.insert(sealed.name.clone(), (0, secret));
        }
        if let Some(name) =
            required_credentials(connector).into_iter().find(|name| !secrets.contains_key(name))
        {
            return refused(&format!("enter the credential {name:?} first"));
        }
        let subject = Subject::new(auth, &installation.base_url, secrets)?;
        let proof = subject.own_proof()?;
        let tokens =
            exchange::exchange(&self.outbound, &subject.request(&proof)).await.map_err(|problem| {
                let (NoToken::Person(why) | NoToken::Later(why) | NoToken::Connect(why)) =
                    told(problem.kind, &problem.code, id.into());
                Error::Refused(sentence(&why))
            })?;
        let token = self.seal(by.tenant, id, &tokens.access, 0, 0, (60, 60))?.sealed;
        Ok([vec![token], beside(&[])].concat())
    }
}
