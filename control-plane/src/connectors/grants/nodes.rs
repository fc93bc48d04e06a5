//! What nodes are given when a call needs it: the workspace's access token, or what the caller connected for themselves.
//!
//! Whose account a caller may use is decided here and nowhere else: a member's own, and for a service account that of the member
//! who made it, if they lend it. The workspace's account never stands in for a member's.

use prost::Message as _;
use toolmesh_proto::claims::Subject as Caller;
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::seal::CredentialPlace;
use toolmesh_proto::v1;
use toolmesh_proto::v1::SealedCredential;

use super::super::installation::{entered_by_members, oauth2, required_credentials};
use super::super::store as connectors;
use super::provider::challenge::Challenge;
use super::{AccessToken, Grants, Kind, NoToken, Problem, not_connected, store};
use crate::accounts::{members, service_accounts};
use crate::credentials::{self, Account};
use crate::error::{Error, Result};
use crate::tenants;

/// How long a node uses what a member entered before it asks again, and when it does so ahead of time, in seconds.
const ENTERED_LIFE: u32 = 3600;
const ENTERED_REFRESH: u32 = 900;

/// What a node is given.
pub enum Handed {
    Token(AccessToken),
    Entered(Entered),
    /// Why there is nothing, and for [`NoToken::Connect`] the page where the caller connects.
    None(NoToken, String),
}

/// What a member entered, sealed for nodes.
pub struct Entered {
    pub sealed: Vec<SealedCredential>,
    pub version: u64,
    pub epoch: u64,
    pub expires_in: u32,
    pub refresh_after: u32,
}

/// What a member's own account is used with.
pub(super) enum Own {
    Token(AccessToken),
    Entered(Entered),
}

impl Own {
    /// Counts up with each token, and with each time that something else is entered.
    pub(super) fn version(&self) -> u64 {
        match self {
            Self::Token(token) => token.sealed.version,
            Self::Entered(entered) => entered.version,
        }
    }

    pub(super) fn sealed(self) -> Vec<SealedCredential> {
        match self {
            Self::Token(token) => vec![token.sealed],
            Self::Entered(entered) => entered.sealed,
        }
    }
}

impl Grants {
    /// What a call is made with. `caller` is nobody where all use the workspace's account; `refused` is the version that the API
    /// has just refused, 0 for none, and `challenge` what it said with that.
    ///
    /// # Errors
    /// `NotFound` for an installation that is gone or has no use for this; otherwise when the database fails.
    pub async fn for_node(
        &self,
        tenant: TenantId,
        id: InstallationId,
        caller: Option<Caller>,
        refused: u64,
        challenge: &str,
    ) -> Result<Handed> {
        let told = Challenge::parse(challenge);
        let Some(caller) = caller else {
            if told.asks_for_more() {
                let why = self.needs_more(tenant, id.into(), &told).await?;
                return Ok(Handed::None(why, String::new()));
            }
            return Ok(match self.access_token(tenant, id, refused).await? {
                Ok(token) => Handed::Token(token),
                Err(why) => Handed::None(why, String::new()),
            });
        };
        let own = match self.lender(tenant, id, caller).await? {
            Ok(account) if told.asks_for_more() => Err(self.needs_more(tenant, account, &told).await?),
            Ok(account) => self.own(tenant, account, refused).await?,
            Err(why) => Err(why),
        };
        match own {
            Ok(Own::Token(token)) => Ok(Handed::Token(token)),
            Ok(Own::Entered(entered)) => Ok(Handed::Entered(entered)),
            Err(why) => {
                let slug = tenants::by_id(&self.db, tenant).await?.slug;
                Ok(Handed::None(why, format!("{}/w/{slug}/connections/{id}", self.console_origin)))
            }
        }
    }

    /// Whose account a caller uses.
    async fn lender(
        &self,
        tenant: TenantId,
        id: InstallationId,
        caller: Caller,
    ) -> Result<std::result::Result<Account, NoToken>> {
        let mut tx = self.db.tenant(tenant).await?;
        let (member, is_lent) = match caller {
            Caller::User(user) => (Some(user), true),
            Caller::Service(service) => {
                let owner = service_accounts::store::owner(&mut tx, service).await?;
                let lent = match owner {
                    Some(owner) => store::locked(&mut tx, Account::of_member(id, owner)).await?.lent,
                    None => false,
                };
                (owner, lent)
            }
        };
        let Some(member) = member else { return Err(Error::NotFound) };
        if !members::is_active(&mut tx, member).await? {
            return Err(Error::NotFound);
        }
        Ok(if is_lent {
            Ok(Account::of_member(id, member))
        } else {
            let why = "each member uses an account of their own here, and the member who made this service account does not \
                       lend it theirs";
            Err(NoToken::Connect(why.to_owned()))
        })
    }

    /// Notes that a server wants more allowed than was: whoever connects next is asked for that too. What was got still serves
    /// the calls that need no more.
    pub(super) async fn needs_more(
        &self,
        tenant: TenantId,
        account: Account,
        told: &Challenge,
    ) -> Result<NoToken> {
        let problem = Problem::new(Kind::Scope, "insufficient_scope");
        let mut tx = self.db.tenant(tenant).await?;
        self.note_scope(&mut tx, account.installation, told).await?;
        let (subject, _) = self.subject(&mut tx, account).await?;
        store::locked(&mut tx, account).await?;
        store::note_problem(&mut tx, account, &problem, &subject.access_basis).await?;
        tx.commit().await?;
        Ok(super::told(problem.kind, &problem.code, account))
    }

    pub(super) async fn is_personal(&self, tenant: TenantId, id: InstallationId) -> Result<bool> {
        let mut tx = self.db.tenant(tenant).await?;
        Ok(connectors::get(&mut tx, id).await?.ok_or(Error::NotFound)?.personal)
    }

    /// What a member's own account is used with.
    pub(super) async fn own(
        &self,
        tenant: TenantId,
        account: Account,
        refused: u64,
    ) -> Result<std::result::Result<Own, NoToken>> {
        let mut tx = self.db.tenant(tenant).await?;
        let row = connectors::get(&mut tx, account.installation).await?.ok_or(Error::NotFound)?;
        let connector = v1::Connector::decode(row.compiled.as_slice()).map_err(Error::internal)?;
        if !row.personal {
            return Err(Error::NotFound);
        }
        if oauth2(&connector).is_some() {
            drop(tx);
            return Ok(self.access_token(tenant, account, refused).await?.map(Own::Token));
        }
        let grant = store::locked(&mut tx, account).await?;
        let mut secrets = credentials::open_all(&mut tx, &self.vault, account).await?;
        let own = entered_by_members(&connector);
        secrets.retain(|name, _| own.contains(name));
        let mut required = required_credentials(&connector).into_iter().filter(|name| own.contains(name));
        let whole = required.all(|name| secrets.contains_key(&name));
        if grant.connected_at.is_none() || !whole {
            return Ok(Err(not_connected(account)));
        }
        if refused >= grant.version.cast_unsigned() {
            store::refused(&mut tx, account, grant.version, "status 401").await?;
            tx.commit().await?;
            return Ok(Err(NoToken::Connect("it refuses what you entered".to_owned())));
        }
        let mut sealed = Vec::with_capacity(secrets.len());
        for (name, (version, secret)) in secrets {
            let place = CredentialPlace { tenant, installation: account.installation, name: &name };
            let one = self.sealer.seal(place, version.cast_unsigned(), &secret);
            sealed.push(one.map_err(Error::internal)?);
        }
        Ok(Ok(Own::Entered(Entered {
            sealed,
            version: grant.version.cast_unsigned(),
            epoch: grant.epoch.cast_unsigned(),
            expires_in: ENTERED_LIFE,
            refresh_after: ENTERED_REFRESH,
        })))
    }
}
