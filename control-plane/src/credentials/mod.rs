//! Secrets: envelope encryption, opaque tokens, and the shared credentials of installations.
//!
//! Plaintext lives in memory only, in types that do not print. This capability knows nothing of what a secret is for: a
//! connector's auth says that.

mod account;
pub mod envelope;
pub mod store;
pub mod token;

use std::collections::HashMap;

use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;
use toolmesh_proto::ids::{InstallationId, UserId};
use toolmesh_proto::seal::{CredentialPlace, Sealer};
use toolmesh_proto::v1;

use crate::db::TenantTx;
use crate::error::{Error, Result};
pub use account::Account;
use envelope::{Sealed, TenantKey, Vault};

/// Longest secret that is kept, in bytes; a PEM key fits.
const MAX_SECRET: usize = 16 * 1024;

/// What people may know of a credential once it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct CredentialFacts {
    pub name: String,
    pub last4: String,
    /// Name of who set it last.
    pub set_by: String,
    pub set_by_email: String,
    pub set_at: OffsetDateTime,
}

/// Stores or replaces a credential of an installation: the workspace's, or a member's own.
///
/// # Errors
/// When the secret is empty, too long, or holds line breaks where a header would break.
pub async fn set(
    tx: &mut TenantTx,
    vault: &Vault,
    account: impl Into<Account>,
    name: &str,
    secret: &SecretString,
    by: UserId,
) -> Result<()> {
    let account = account.into();
    let text = secret.expose_secret().trim();
    if text.is_empty() {
        return Err(Error::field("credential", "Enter the credential."));
    }
    if text.len() > MAX_SECRET {
        return Err(Error::field("credential", "This is longer than 16 KiB, which no credential is."));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::field(
            "credential",
            "A credential is one line. Copy it again without line breaks.",
        ));
    }
    let key = tenant_key(tx, vault).await?;
    let version = store::current_version(tx, account, name).await?.unwrap_or(0) + 1;
    let sealed = key.seal(&place(tx, account, name, version), text.as_bytes())?;
    store::upsert(tx, account, name, version, &sealed, &last4(text), by).await?;
    Ok(())
}

/// The workspace's credentials of all installations, or of one, resealed for the deployment's nodes.
///
/// # Errors
/// When one cannot be opened: it was sealed under another key-encryption key.
pub async fn for_nodes(
    tx: &mut TenantTx,
    vault: &Vault,
    sealer: &Sealer,
    only: Option<InstallationId>,
) -> Result<HashMap<InstallationId, Vec<v1::SealedCredential>>> {
    let rows = store::all(tx, only, None).await?;
    let mut resealed: HashMap<_, Vec<_>> = HashMap::new();
    if rows.is_empty() {
        return Ok(resealed);
    }
    let key = tenant_key(tx, vault).await?;
    for row in rows {
        let (installation, name) = (row.installation_id, row.name.as_str());
        let plain =
            key.open(&place(tx, installation.into(), name, row.version), &row.nonce, &row.ciphertext)?;
        let place = CredentialPlace { tenant: tx.tenant(), installation, name };
        let sealed = sealer.seal(place, row.version.cast_unsigned(), &plain).map_err(Error::internal)?;
        resealed.entry(installation).or_default().push(sealed);
    }
    Ok(resealed)
}

/// The credentials of an account, open, by name and with their versions.
///
/// # Errors
/// When one cannot be opened: it was sealed under another key-encryption key.
pub async fn open_all(
    tx: &mut TenantTx,
    vault: &Vault,
    account: impl Into<Account>,
) -> Result<HashMap<String, (i64, SecretString)>> {
    let account = account.into();
    let rows = store::all(tx, Some(account.installation), account.member).await?;
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let key = tenant_key(tx, vault).await?;
    let opened = rows.into_iter().map(|row| {
        let place = place(tx, account, &row.name, row.version);
        let secret = key.open(&place, &row.nonce, &row.ciphertext)?;
        Ok((row.name, (row.version, secret)))
    });
    opened.collect()
}

/// What the console shows of the workspace's credentials of all installations, or of one; or of a member's own.
///
/// # Errors
/// When the database fails.
pub async fn facts(
    tx: &mut TenantTx,
    only: Option<InstallationId>,
    member: Option<UserId>,
) -> Result<HashMap<InstallationId, Vec<CredentialFacts>>> {
    let mut facts: HashMap<_, Vec<_>> = HashMap::new();
    for row in store::facts(tx, only, member).await? {
        facts.entry(row.installation_id).or_default().push(row.facts);
    }
    Ok(facts)
}

/// Deletes what is stored of one account.
///
/// # Errors
/// When the database fails.
pub async fn forget_account(tx: &mut TenantTx, account: Account) -> Result<()> {
    store::delete_account(tx, account).await
}

/// Deletes an installation's credentials, the members' own too.
///
/// # Errors
/// When the database fails.
pub async fn forget(tx: &mut TenantTx, installation: InstallationId) -> Result<()> {
    store::delete(tx, installation).await
}

/// Deletes one credential of an installation, the members' own too.
///
/// # Errors
/// When the database fails.
pub async fn forget_named(tx: &mut TenantTx, installation: InstallationId, name: &str) -> Result<()> {
    store::delete_named(tx, installation, name).await
}

/// Makes a tenant's data key; once, when the workspace is created.
///
/// # Errors
/// When the database fails.
pub async fn create_tenant_key(tx: &mut TenantTx, vault: &Vault) -> Result<()> {
    let wrapped = vault.new_tenant_key(tx.tenant())?;
    store::insert_tenant_key(tx, &wrapped).await
}

/// Seals a secret of a tenant that is no installation's; `place` names its use, and another place does not open it.
///
/// # Errors
/// When the database fails.
pub async fn seal_secret(tx: &mut TenantTx, vault: &Vault, place: &str, plain: &str) -> Result<Sealed> {
    let place = format!("{}|{place}", tx.tenant());
    tenant_key(tx, vault).await?.seal(&place, plain.as_bytes())
}

/// Opens a secret that was sealed for the same place.
///
/// # Errors
/// When it cannot be opened: it was sealed elsewhere or under another key-encryption key.
pub async fn open_secret(
    tx: &mut TenantTx,
    vault: &Vault,
    place: &str,
    sealed: &Sealed,
) -> Result<SecretString> {
    let place = format!("{}|{place}", tx.tenant());
    tenant_key(tx, vault).await?.open(&place, &sealed.nonce, &sealed.ciphertext)
}

async fn tenant_key(tx: &mut TenantTx, vault: &Vault) -> Result<TenantKey> {
    let wrapped = store::tenant_key(tx).await?;
    vault.unwrap_tenant_key(tx.tenant(), &wrapped)
}

fn place(tx: &TenantTx, account: Account, name: &str, version: i64) -> String {
    format!("{}|{account}|{name}|{version}", tx.tenant())
}

/// The end of a secret, to tell it from another; nothing of a short one.
#[must_use]
pub fn last4(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() < 12 { String::new() } else { chars[chars.len() - 4..].iter().collect() }
}
