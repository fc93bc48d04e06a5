//! Clients of service accounts: registered by hand, with a key of their own, for `client_credentials`.

pub mod store;

use time::OffsetDateTime;
use toolmesh_proto::ids::ServiceAccountId;

use super::manual::{self, Keys, NewClient};
use super::{AuthMethod, Client};
use crate::accounts::members::{self, Membership, Permission};
use crate::accounts::service_accounts;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::oauth::machines::CLIENT_CREDENTIALS;
use crate::revocations::{self, Reach, What};

/// Clients of one service account.
const MAX_CLIENTS: usize = 20;

/// One of them, as who manages service accounts sees it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct MachineClient {
    pub client_id: String,
    pub name: String,
    /// Where its keys are fetched; they were pasted where there is none.
    pub jwks_uri: Option<String>,
    pub first_seen_at: OffsetDateTime,
    pub last_seen_at: Option<OffsetDateTime>,
}

/// Those of a service account, by name.
///
/// # Errors
/// `Forbidden` for who may not manage service accounts.
pub async fn list(db: &Db, by: &Membership, account: ServiceAccountId) -> Result<Vec<MachineClient>> {
    by.require(Permission::Members)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::list(&mut tx, account).await
}

/// Registers one; `keys` is a key set, one key, or the address of a set.
///
/// # Errors
/// Names the field that has to be mended; `NotFound` for an account that is not there.
pub async fn register(
    db: &Db,
    by: &Membership,
    account: ServiceAccountId,
    name: &str,
    keys: &str,
) -> Result<Client> {
    let keys = Keys::parse(keys)?;
    let mut tx = db.tenant(by.tenant).await?;
    members::still(&mut tx, by).await?.require(Permission::Members)?;
    if !service_accounts::store::lock(&mut tx, account).await? {
        return Err(Error::NotFound);
    }
    if store::list(&mut tx, account).await?.len() >= MAX_CLIENTS {
        return Err(Error::field("client_name", "There are 20 clients already. Remove one first."));
    }
    let new = NewClient {
        name: name.to_owned(),
        redirect_uris: Vec::new(),
        auth_method: AuthMethod::PrivateKeyJwt,
        keys,
        grant_types: vec![CLIENT_CREDENTIALS.to_owned()],
    };
    let (client, _no_secret) = manual::create(&mut tx, by.user, new).await.map_err(|error| match error {
        Error::Field { field: "name", message } => Error::field("client_name", message),
        error => error,
    })?;
    store::bind(&mut tx, &client.client_id, account).await?;
    tx.commit().await?;
    Ok(client)
}

/// Removes one; its access tokens end with it.
///
/// # Errors
/// `NotFound` for one that is not there, or not of this account.
pub async fn remove(db: &Db, by: &Membership, account: ServiceAccountId, client_id: &str) -> Result<()> {
    let mut tx = db.tenant(by.tenant).await?;
    members::still(&mut tx, by).await?.require(Permission::Members)?;
    if !store::delete(&mut tx, account, client_id).await? {
        return Err(Error::NotFound);
    }
    let what = What::Client(client_id.to_owned());
    let recorded = revocations::revoke(&mut tx, &what, Reach::Tokens, "an admin removed the client").await?;
    tx.commit().await?;
    tracing::info!(tenant = %by.tenant, client_id, sequences = ?recorded.sequences, "client of a service account removed");
    Ok(())
}
