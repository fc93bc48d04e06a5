//! Credentials between the planes: sealed by the control plane, opened by a node when it builds a request.
//!
//! Both derive the key from the join secret (HKDF-SHA256), so whoever may join as a node may open; the wire, a node's disk
//! and the logs hold ciphertext only. See `credential.proto`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use secrecy::{ExposeSecret as _, SecretString};

use crate::ids::{InstallationId, TenantId};
use crate::v1::SealedCredential;

/// What an access token of OAuth 2 is called where it is sealed. A connector's own credentials cannot have a name with a space.
pub const ACCESS_TOKEN: &str = "access token";

/// Seals and opens credentials of all tenants of one deployment.
#[derive(Clone)]
pub struct Sealer(std::sync::Arc<LessSafeKey>);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// Where a credential belongs; part of what is sealed, so that it cannot be opened in another place.
#[derive(Clone, Copy, Debug)]
pub struct CredentialPlace<'a> {
    pub tenant: TenantId,
    pub installation: InstallationId,
    pub name: &'a str,
}

/// The credential was sealed for another place or deployment, or is damaged; which, nobody can tell.
#[derive(Debug, thiserror::Error)]
#[error("the credential cannot be opened on this node")]
pub struct SealError;

struct Length32;

impl hkdf::KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}

/// 32 bytes derived from the join secret for one purpose, e.g. `toolmesh ledger v1`.
///
/// # Errors
/// Only if the crypto library refuses, which it does not for these lengths.
pub fn derive_key(join_secret: &SecretString, purpose: &str) -> Result<[u8; 32], SealError> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"toolmesh");
    let prk = salt.extract(join_secret.expose_secret().as_bytes());
    let mut key = [0; 32];
    let info = [purpose.as_bytes()];
    let okm = prk.expand(&info, Length32).map_err(|_| SealError)?;
    okm.fill(&mut key).map_err(|_| SealError)?;
    Ok(key)
}

/// What a node shows to join: derived from the join secret, so that a listener on the wire learns nothing that opens a
/// credential.
///
/// # Errors
/// Only if the crypto library refuses.
pub fn join_token(join_secret: &SecretString) -> Result<SecretString, SealError> {
    Ok(SecretString::from(crate::hex(&derive_key(join_secret, "toolmesh join v1")?)))
}

impl Sealer {
    /// # Errors
    /// Only if the crypto library refuses the key.
    pub fn new(join_secret: &SecretString) -> Result<Self, SealError> {
        let key = derive_key(join_secret, "toolmesh credentials v1")?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| SealError)?;
        Ok(Self(std::sync::Arc::new(LessSafeKey::new(key))))
    }

    /// Seals one secret for one place.
    ///
    /// # Errors
    /// Only if the system has no randomness.
    pub fn seal(
        &self,
        place: CredentialPlace<'_>,
        version: u64,
        secret: &SecretString,
    ) -> Result<SealedCredential, SealError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError)?;
        let mut bytes = secret.expose_secret().as_bytes().to_vec();
        let aad = Aad::from(associated_data(place, version));
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes)
            .map_err(|_| SealError)?;
        Ok(SealedCredential {
            name: place.name.to_owned(),
            version,
            nonce: nonce.to_vec(),
            ciphertext: bytes,
        })
    }

    /// Opens a secret that was sealed for exactly this tenant, installation, name and version.
    ///
    /// # Errors
    /// When it was sealed for another place or is damaged.
    pub fn open(
        &self,
        tenant: TenantId,
        installation: InstallationId,
        sealed: &SealedCredential,
    ) -> Result<SecretString, SealError> {
        let place = CredentialPlace { tenant, installation, name: &sealed.name };
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_| SealError)?;
        let mut bytes = sealed.ciphertext.clone();
        let aad = Aad::from(associated_data(place, sealed.version));
        let plain = self.0.open_in_place(nonce, aad, &mut bytes).map_err(|_| SealError)?;
        let text = String::from_utf8(plain.to_vec()).map_err(|_| SealError)?;
        Ok(SecretString::from(text))
    }
}

fn associated_data(place: CredentialPlace<'_>, version: u64) -> Vec<u8> {
    format!("{}|{}|{}|{version}", place.tenant, place.installation, place.name).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_opens_only_in_its_place_and_with_its_join_secret() {
        let sealer = Sealer::new(&SecretString::from("join")).unwrap();
        let (tenant, installation) = (TenantId::new(), InstallationId::new());
        let place = CredentialPlace { tenant, installation, name: "token" };
        let sealed = sealer.seal(place, 3, &SecretString::from("s3cret")).unwrap();
        assert_eq!(sealer.open(tenant, installation, &sealed).unwrap().expose_secret(), "s3cret");

        assert!(sealer.open(TenantId::new(), installation, &sealed).is_err());
        assert!(sealer.open(tenant, InstallationId::new(), &sealed).is_err());
        let renamed = SealedCredential { name: "other".into(), ..sealed.clone() };
        assert!(sealer.open(tenant, installation, &renamed).is_err());
        let stranger = Sealer::new(&SecretString::from("other")).unwrap();
        assert!(stranger.open(tenant, installation, &sealed).is_err());
    }
}
