//! What admins do with clients: look at them, allow and block them, register and delete them, give them other secrets.

use secrecy::SecretString;
use time::{Duration, OffsetDateTime};

use super::manual::{self, NewClient};
use super::{AuthMethod, Client, Kind, Standing, policy, store};
use crate::accounts::members::{self, Membership, Permission};
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};
use crate::revocations::{self, Reach, Recorded, What};

/// A client in the list. Registrations of the same program are one: clients register again at every connection.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Listed {
    /// Names it in paths.
    pub handle: String,
    pub client_id: String,
    pub name: String,
    pub redirect_uris: Vec<String>,
    #[sqlx(try_from = "String")]
    pub kind: Kind,
    #[sqlx(try_from = "String")]
    pub auth_method: AuthMethod,
    #[sqlx(try_from = "String")]
    pub standing: Standing,
    pub first_seen_at: OffsetDateTime,
    pub last_seen_at: Option<OffsetDateTime>,
    /// Times it registered.
    pub registrations: i64,
    /// Members whose consent it has.
    pub users: i64,
    /// Who asked for it or made it, where that is known.
    pub created_by: Option<String>,
}

/// A client as its own page shows it.
#[derive(Clone, Debug)]
pub struct Details {
    pub listed: Listed,
    pub client: Client,
    pub secrets: Vec<Secret>,
}

/// What is known of a secret once it was shown.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Secret {
    pub last4: String,
    pub created_at: OffsetDateTime,
    pub expires_at: Option<OffsetDateTime>,
}

/// How long the secret that is replaced stays good.
pub const OVERLAPS: [(&str, Duration); 4] = [
    ("0", Duration::ZERO),
    ("3600", Duration::hours(1)),
    ("86400", Duration::days(1)),
    ("604800", Duration::days(7)),
];

/// Most secrets of a client at a time.
const MAX_SECRETS: usize = 5;

/// The workspace's clients, those that wait first.
///
/// # Errors
/// `Forbidden` for who may not see them.
pub async fn list(db: &Db, by: &Membership) -> Result<Vec<Listed>> {
    by.require(Permission::Clients)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::list(&mut tx, None).await
}

/// One of them.
///
/// # Errors
/// `NotFound` where there is none.
pub async fn details(db: &Db, by: &Membership, handle: &str) -> Result<Details> {
    by.require(Permission::Clients)?;
    let mut tx = db.tenant(by.tenant).await?;
    let client = by_handle(&mut tx, handle).await?;
    let listed = store::list(&mut tx, Some(&client.client_id)).await?;
    let listed = listed.into_iter().next().ok_or(Error::NotFound)?;
    let secrets = store::secrets(&mut tx, &client.client_id).await?;
    Ok(Details { listed, client, secrets })
}

/// Registers a client by hand; its secret, where it has one, is answered this once.
///
/// # Errors
/// Names the field that has to be mended.
pub async fn create(db: &Db, by: &Membership, new: NewClient) -> Result<(Client, Option<SecretString>)> {
    let mut tx = acting(db, by).await?;
    let made = manual::create(&mut tx, by.user, new).await?;
    tx.commit().await?;
    Ok(made)
}

/// Allows or blocks a client, and what registers itself the same way later. What a blocked client holds ends.
///
/// # Errors
/// `NotFound` where there is none.
pub async fn set_standing(
    db: &Db,
    by: &Membership,
    handle: &str,
    standing: Standing,
) -> Result<(Client, Recorded)> {
    let mut tx = acting(db, by).await?;
    let client = by_handle(&mut tx, handle).await?;
    let mut ended = Recorded { sequences: Vec::new(), grants: 0 };
    for client_id in together(&mut tx, &client).await? {
        store::set_standing(&mut tx, &client_id, standing).await?;
        if standing == Standing::Blocked {
            end_grants(&mut tx, &client_id, "an admin blocked the client", &mut ended).await?;
        }
    }
    tx.commit().await?;
    Ok((client, ended))
}

/// Deletes a client with all consents to it.
///
/// # Errors
/// `NotFound` where there is none.
pub async fn delete(db: &Db, by: &Membership, handle: &str) -> Result<(Client, Recorded)> {
    let mut tx = acting(db, by).await?;
    let client = by_handle(&mut tx, handle).await?;
    let mut ended = Recorded { sequences: Vec::new(), grants: 0 };
    for client_id in together(&mut tx, &client).await? {
        end_grants(&mut tx, &client_id, "an admin deleted the client", &mut ended).await?;
        store::delete(&mut tx, &client_id).await?;
    }
    tx.commit().await?;
    Ok((client, ended))
}

/// Changes where a client that was registered by hand sends people.
///
/// # Errors
/// Names the field that has to be mended; `NotFound` for a client that was not made by hand.
pub async fn set_redirects(db: &Db, by: &Membership, handle: &str, uris: Vec<String>) -> Result<()> {
    let mut tx = acting(db, by).await?;
    let mut client = by_hand(&mut tx, handle).await?;
    client.redirect_uris = manual::redirects(uris, client.may("authorization_code"))?;
    store::upsert(&mut tx, &client, &policy::fingerprint(&client), None).await?;
    Ok(tx.commit().await?)
}

/// Gives a client another secret, which is answered this once; the ones before it are good for `overlap` longer.
///
/// # Errors
/// `NotFound` for a client that has none.
pub async fn rotate_secret(
    db: &Db,
    by: &Membership,
    handle: &str,
    overlap: &str,
) -> Result<(Client, SecretString)> {
    let (_, overlap) = OVERLAPS
        .into_iter()
        .find(|(word, _)| *word == overlap)
        .ok_or_else(|| Error::field("overlap", "Choose how long the old secret stays good."))?;
    let mut tx = acting(db, by).await?;
    let client = by_hand(&mut tx, handle).await?;
    if !client.auth_method.uses_secret() {
        return Err(Error::NotFound);
    }
    store::end_secrets(&mut tx, &client.client_id, OffsetDateTime::now_utc() + overlap).await?;
    if store::secrets(&mut tx, &client.client_id).await?.len() >= MAX_SECRETS {
        let text = "Five secrets of this client are good already. Replace one without an overlap first.";
        return Err(Error::Refused(text.to_owned()));
    }
    let secret = manual::add_secret(&mut tx, &client.client_id).await?;
    tx.commit().await?;
    Ok((client, secret))
}

/// A transaction of somebody who may, now.
async fn acting(db: &Db, by: &Membership) -> Result<TenantTx> {
    let mut tx = db.tenant(by.tenant).await?;
    members::still(&mut tx, by).await?.require(Permission::Clients)?;
    Ok(tx)
}

async fn by_handle(tx: &mut TenantTx, handle: &str) -> Result<Client> {
    if handle.len() != 64 || !handle.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::NotFound);
    }
    store::by_handle(tx, handle).await?.ok_or(Error::NotFound)
}

async fn by_hand(tx: &mut TenantTx, handle: &str) -> Result<Client> {
    let client = by_handle(tx, handle).await?;
    if client.kind == Kind::Manual { Ok(client) } else { Err(Error::NotFound) }
}

/// The ids under which a client is known.
async fn together(tx: &mut TenantTx, client: &Client) -> Result<Vec<String>> {
    match client.kind {
        Kind::Registered => store::same(tx, &client.client_id).await,
        Kind::MetadataDocument | Kind::Manual => Ok(vec![client.client_id.clone()]),
    }
}

/// Ends what a client holds, on nodes too. One that holds nothing costs no nodes a word.
async fn end_grants(tx: &mut TenantTx, client_id: &str, reason: &str, ended: &mut Recorded) -> Result<()> {
    if store::has_grants(tx, client_id).await? {
        let what = What::Client(client_id.to_owned());
        let recorded = revocations::revoke(tx, &what, Reach::Tokens, reason).await?;
        ended.sequences.extend(recorded.sequences);
        ended.grants += recorded.grants;
    }
    Ok(())
}
