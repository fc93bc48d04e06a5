//! Looking at a server that was added: with its credential or somebody's account, and keeping what is found.

use std::collections::HashMap;

use secrecy::SecretString;
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::{InstallationId, TenantId, UserId};
use url::Url;
use uuid::Uuid;

use super::client::{self, Found, Trouble};
use super::{Looked, Upstreams, headers, review, store, waiting};
use crate::connectors::Installation;
use crate::connectors::installation::{entered_by_members, is_for_nodes, oauth2};
use crate::credentials;
use crate::error::{Error, Result};

/// How long until a server is looked at again when all is well, and how far apart servers that were added together drift.
const EVERY: Duration = Duration::hours(4);
const JITTER_SECONDS: i64 = 30 * 60;
/// How long after a first failure; it doubles with each further one, up to the usual time.
const RETRY: Duration = Duration::minutes(5);

type Asked = std::result::Result<Found, Trouble>;

impl Upstreams {
    /// `by` is whose own account is shown where each member uses their own; otherwise one of an admin's is.
    pub(super) async fn look_as(
        &self,
        tenant: TenantId,
        id: InstallationId,
        by: Option<UserId>,
    ) -> Result<Looked> {
        let lease = Uuid::new_v4();
        let mut tx = self.db.tenant(tenant).await?;
        store::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        if !store::take(&mut tx, id, lease).await? {
            return Ok(Looked::Busy);
        }
        let installation = self.installations.load(&mut tx, id).await?;
        let lent = installation.personal || oauth2(&installation.connector).is_some();
        let stored = credentials::open_all(&mut tx, &self.vault, id).await?;
        let mut stored: HashMap<_, _> =
            stored.into_iter().map(|(name, (_, secret))| (name, secret)).collect();
        tx.commit().await?;
        let asked = if lent {
            // Of the workspace's, what is shown beside somebody's account.
            let own = entered_by_members(&installation.connector);
            stored.retain(|name, _| is_for_nodes(&installation.connector, name) && !own.contains(name));
            self.ask_as(tenant, &installation, by, &stored).await?
        } else {
            self.ask(&installation, &stored).await
        };
        match asked {
            Ok(found) => self.keep(tenant, &installation, found, lease).await,
            Err(trouble) => self.note(tenant, id, &trouble, lease).await,
        }
    }

    /// Asks with an account. A token that is refused is replaced once, as for a call; what more the server wants allowed is noted,
    /// so that whoever connects next is asked for that too.
    async fn ask_as(
        &self,
        tenant: TenantId,
        installation: &Installation,
        by: Option<UserId>,
        beside: &HashMap<String, SecretString>,
    ) -> Result<Asked> {
        let mut refused = 0;
        loop {
            let mut shown = match self.grants.for_look(tenant, installation.id, by, refused).await? {
                Ok(shown) => shown,
                Err(why) => return Ok(Err(Trouble::NoCredential(why))),
            };
            shown.secrets.extend(beside.iter().map(|(name, secret)| (name.clone(), secret.clone())));
            match self.ask(installation, &shown.secrets).await {
                Err(Trouble::Unauthorized(_)) if refused == 0 && shown.version > 0 => refused = shown.version,
                Err(Trouble::Unauthorized(_)) => {
                    let text =
                        "The server does not let in the account that is connected (401). Connect it again.";
                    return Ok(Err(Trouble::NoCredential(text.to_owned())));
                }
                Err(trouble @ Trouble::Forbidden(_)) => {
                    let challenge = trouble.challenge().unwrap_or_default();
                    let noted = self.grants.look_needs_more(tenant, &shown, challenge).await?;
                    return Ok(Err(noted.map_or(trouble, Trouble::NoCredential)));
                }
                asked => return Ok(asked),
            }
        }
    }

    async fn ask(&self, installation: &Installation, secrets: &HashMap<String, SecretString>) -> Asked {
        let connector = &installation.connector;
        let credentials = headers(connector.auth.as_ref(), &connector.default_headers, secrets)?;
        let url = Url::parse(&installation.base_url)
            .map_err(|_| Trouble::NotMcp("its address is none".to_owned()))?;
        client::look(&self.outbound, &url, &credentials).await
    }

    async fn keep(
        &self,
        tenant: TenantId,
        asked: &Installation,
        found: Found,
        lease: Uuid,
    ) -> Result<Looked> {
        let id = asked.id;
        let mut tx = self.db.tenant(tenant).await?;
        let mut server = store::lock(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let before = self.installations.load(&mut tx, id).await?;
        if before.base_url != asked.base_url {
            // It was pointed elsewhere meanwhile; what was found is another server's.
            store::give_back(&mut tx, id, lease, Duration::seconds(1)).await?;
            tx.commit().await?;
            return Ok(Looked::Busy);
        }
        let known = store::definitions(&mut tx, id).await?;
        let known = review::reconcile(&known, &found.definitions, &found.unread, OffsetDateTime::now_utc());
        server.learn(&found);
        store::save(&mut tx, id, &server).await?;
        store::replace(&mut tx, id, &known, None).await?;
        let jitter = Duration::seconds(rand::random_range(-JITTER_SECONDS..=JITTER_SECONDS));
        store::give_back(&mut tx, id, lease, EVERY + jitter).await?;
        let waiting = waiting(&known);
        self.recompile(tx, &before, &server, &known).await?;
        Ok(Looked::Well { waiting })
    }

    async fn note(
        &self,
        tenant: TenantId,
        id: InstallationId,
        trouble: &Trouble,
        lease: Uuid,
    ) -> Result<Looked> {
        let sentence = trouble.sentence();
        let mut tx = self.db.tenant(tenant).await?;
        let failures = store::failed(&mut tx, id, &sentence).await?;
        let doubled = RETRY * 2_i32.pow(u32::try_from(failures - 1).unwrap_or_default().min(10));
        store::give_back(&mut tx, id, lease, doubled.min(EVERY)).await?;
        tx.commit().await?;
        tracing::info!(%tenant, installation = %id, failures, problem = sentence, "an MCP server could not be looked at");
        Ok(Looked::Failed(sentence))
    }
}
