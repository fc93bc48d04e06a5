//! Envelope encryption: the key-encryption key, which is never in the database, wraps a key per tenant, which seals that
//! tenant's secrets. All of it is AES-256-GCM with the secret's place as associated data, so that a ciphertext moved to
//! another row does not open.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toolmesh_proto::ids::TenantId;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// A ciphertext and its nonce, as two columns.
#[derive(Clone, sqlx::FromRow)]
pub struct Sealed {
    pub nonce: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

/// Holds the key-encryption key and keys derived from it. Cheap to clone; does not print.
#[derive(Clone)]
pub struct Vault {
    kek: Arc<LessSafeKey>,
    derive: Arc<hkdf::Prk>,
}

/// A tenant's data key, unwrapped.
pub struct TenantKey(LessSafeKey);

struct Length32;

impl hkdf::KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}

impl Vault {
    /// # Errors
    /// Only if the crypto library refuses the key.
    pub fn new(kek: &[u8; 32]) -> Result<Self> {
        let derive = hkdf::Salt::new(hkdf::HKDF_SHA256, b"toolmesh kek").extract(kek);
        Ok(Self { kek: Arc::new(key(kek)?), derive: Arc::new(derive) })
    }

    pub(super) fn new_tenant_key(&self, tenant: TenantId) -> Result<Sealed> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut()).map_err(Error::internal)?;
        seal(&self.kek, &format!("tenant-key|{tenant}"), bytes.as_ref())
    }

    pub(super) fn unwrap_tenant_key(&self, tenant: TenantId, wrapped: &Sealed) -> Result<TenantKey> {
        let bytes = open(&self.kek, &format!("tenant-key|{tenant}"), &wrapped.nonce, &wrapped.ciphertext)?;
        let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| wrong_kek())?;
        Ok(TenantKey(key(bytes)?))
    }

    /// Seals something of the whole deployment, such as a signing key.
    ///
    /// # Errors
    /// Only if the system has no randomness.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Sealed> {
        seal(&self.kek, place, plain)
    }

    /// # Errors
    /// When it was sealed for another place or under another key.
    pub fn open(&self, place: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>> {
        open(&self.kek, place, &sealed.nonce, &sealed.ciphertext)
    }

    /// 32 bytes for one purpose, such as form tokens.
    ///
    /// # Errors
    /// Only if the crypto library refuses.
    pub fn derive(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>> {
        let mut bytes = Zeroizing::new([0; 32]);
        let info = [purpose.as_bytes()];
        let okm = self.derive.expand(&info, Length32).map_err(Error::internal)?;
        okm.fill(bytes.as_mut()).map_err(Error::internal)?;
        Ok(bytes)
    }

    /// A box for values that travel through a browser and come back.
    ///
    /// # Errors
    /// Only if the crypto library refuses.
    pub fn sealed_values(&self, purpose: &'static str) -> Result<SealedValues> {
        Ok(SealedValues { key: Arc::new(key(&*self.derive(purpose)?)?), purpose })
    }
}

impl TenantKey {
    pub(super) fn seal(&self, place: &str, plain: &[u8]) -> Result<Sealed> {
        seal(&self.0, place, plain)
    }

    pub(super) fn open(&self, place: &str, nonce: &[u8], ciphertext: &[u8]) -> Result<SecretString> {
        let plain = open(&self.0, place, nonce, ciphertext)?;
        let text = std::str::from_utf8(&plain).map_err(Error::internal)?;
        Ok(SecretString::from(text.to_owned()))
    }
}

/// Seals values into text that a browser or client carries for us: unreadable and unchangeable for who carries it.
#[derive(Clone)]
pub struct SealedValues {
    key: Arc<LessSafeKey>,
    purpose: &'static str,
}

impl SealedValues {
    /// # Errors
    /// Only if the system has no randomness.
    pub fn seal(&self, value: &impl Serialize) -> Result<String> {
        let plain = serde_json::to_vec(value).map_err(Error::internal)?;
        let sealed = seal(&self.key, self.purpose, &plain)?;
        Ok(URL_SAFE_NO_PAD.encode([sealed.nonce, sealed.ciphertext].concat()))
    }

    /// The value, if this box sealed it.
    #[must_use]
    pub fn open<T: DeserializeOwned>(&self, text: &str) -> Option<T> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE_LEN)?;
        let plain = open(&self.key, self.purpose, nonce, ciphertext).ok()?;
        serde_json::from_slice(&plain).ok()
    }
}

fn key(bytes: &[u8; 32]) -> Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new).map_err(Error::internal)
}

fn seal(key: &LessSafeKey, place: &str, plain: &[u8]) -> Result<Sealed> {
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(Error::internal)?;
    let mut ciphertext = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut ciphertext)
        .map_err(Error::internal)?;
    Ok(Sealed { nonce: nonce.to_vec(), ciphertext })
}

fn open(key: &LessSafeKey, place: &str, nonce: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong_kek())?;
    let mut bytes = Zeroizing::new(ciphertext.to_vec());
    let length = key.open_in_place(nonce, Aad::from(place), &mut bytes).map_err(|_| wrong_kek())?.len();
    bytes.truncate(length);
    Ok(bytes)
}

fn wrong_kek() -> Error {
    Error::Internal("a secret does not open; is this the key-encryption key it was sealed with?".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_for_its_tenant_and_place() {
        let vault = Vault::new(&[7; 32]).unwrap();
        let tenant = TenantId::new();
        let wrapped = vault.new_tenant_key(tenant).unwrap();
        assert!(vault.unwrap_tenant_key(TenantId::new(), &wrapped).is_err());
        let key = vault.unwrap_tenant_key(tenant, &wrapped).unwrap();
        let sealed = key.seal("a", b"secret").unwrap();
        assert!(key.open("b", &sealed.nonce, &sealed.ciphertext).is_err());
        assert!(key.open("a", &sealed.nonce, &sealed.ciphertext).is_ok());
        assert!(Vault::new(&[8; 32]).unwrap().unwrap_tenant_key(tenant, &wrapped).is_err());
    }

    #[test]
    fn a_sealed_value_of_another_purpose_does_not_open() {
        let vault = Vault::new(&[7; 32]).unwrap();
        let (a, b) = (vault.sealed_values("a").unwrap(), vault.sealed_values("b").unwrap());
        let text = a.seal(&"hello").unwrap();
        assert_eq!(a.open::<String>(&text).as_deref(), Some("hello"));
        assert_eq!(b.open::<String>(&text), None);
        assert_eq!(a.open::<String>("short"), None);
        assert_eq!(a.open::<String>(&format!("{text}AA")), None);
    }
}
