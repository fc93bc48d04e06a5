//! What outlives a request travels with the client, sealed: any node opens it, nobody else reads or changes it.
//!
//! AES-256-GCM under a key that all nodes of a deployment derive from the join secret, one per purpose. What it is bound to
//! (tenant, caller, tool, …) is associated data, so that it opens nowhere else; it says itself when it ends.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use time::OffsetDateTime;
use toolmesh_proto::seal::{SealError, derive_key};

/// First byte of everything sealed: how the rest is to be read.
const FORM: u8 = 1;
const EXPIRY_BYTES: usize = 8;

/// What a sealed text is for; texts of one purpose do not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What an MCP server behind us wants back with the next round.
    RequestState,
    /// What a client of the older revisions said when it began.
    Session,
    /// A request of ours to a client: where its answer is waited for.
    Ask,
    /// A stream of the oldest transport: where it is open.
    Stream,
    /// From node to node.
    Letter,
    /// A link to a file.
    File,
}

/// Seals and opens for one deployment.
#[derive(Clone)]
pub struct Seals(std::sync::Arc<LessSafeKey>);

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seals")
    }
}

/// Damaged, expired, or sealed for something else; which, nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was not sealed for this, or has expired")]
pub struct Unsealable;

impl Seals {
    /// # Errors
    /// Only if the crypto library refuses the key.
    pub fn new(join_secret: &SecretString) -> Result<Self, SealError> {
        let key = derive_key(join_secret, "toolmesh client state v1")?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| SealError)?;
        Ok(Self(std::sync::Arc::new(LessSafeKey::new(key))))
    }

    /// Seals bytes until a time (seconds since the epoch). `bound` is what they belong to.
    ///
    /// # Errors
    /// Only if the system has no randomness.
    pub fn seal(
        &self,
        purpose: Purpose,
        bound: &[&str],
        until: i64,
        plain: &[u8],
    ) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError)?;
        let mut bytes = until.to_be_bytes().to_vec();
        bytes.extend_from_slice(plain);
        let aad = Aad::from(associated(purpose, bound));
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes)
            .map_err(|_| SealError)?;
        let whole: Vec<u8> = [FORM].into_iter().chain(nonce).chain(bytes).collect();
        Ok(URL_SAFE_NO_PAD.encode(whole))
    }

    /// Opens what was sealed for exactly this, unless its time is over.
    ///
    /// # Errors
    /// When it was sealed for something else, is damaged or has expired.
    pub fn open(&self, purpose: Purpose, bound: &[&str], sealed: &str) -> Result<Vec<u8>, Unsealable> {
        let whole = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unsealable)?;
        let (form, rest) = whole.split_first().ok_or(Unsealable)?;
        if *form != FORM {
            return Err(Unsealable);
        }
        let (nonce, bytes) = rest.split_at_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let mut bytes = bytes.to_vec();
        let aad = Aad::from(associated(purpose, bound));
        let plain = self.0.open_in_place(nonce, aad, &mut bytes).map_err(|_| Unsealable)?;
        let (until, plain) = plain.split_at_checked(EXPIRY_BYTES).ok_or(Unsealable)?;
        let until = i64::from_be_bytes(until.try_into().map_err(|_| Unsealable)?);
        if until < OffsetDateTime::now_utc().unix_timestamp() {
            return Err(Unsealable);
        }
        Ok(plain.to_vec())
    }
}

/// Each part with its length, so that no two lists of parts read the same.
fn associated(purpose: Purpose, bound: &[&str]) -> Vec<u8> {
    let mut bytes = format!("{purpose:?}").into_bytes();
    for part in bound {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_for_what_it_was_sealed_for_and_in_its_time() {
        let seals = Seals::new(&SecretString::from("join")).unwrap();
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let sealed = seals.seal(Purpose::Ask, &["acme", "ada"], now + 60, b"where").unwrap();
        assert_eq!(seals.open(Purpose::Ask, &["acme", "ada"], &sealed).unwrap(), b"where");
        assert!(seals.open(Purpose::Session, &["acme", "ada"], &sealed).is_err());
        assert!(seals.open(Purpose::Ask, &["acmea", "da"], &sealed).is_err());
        let stranger = Seals::new(&SecretString::from("other")).unwrap();
        assert!(stranger.open(Purpose::Ask, &["acme", "ada"], &sealed).is_err());
        let over = seals.seal(Purpose::Ask, &[], now - 1, b"").unwrap();
        assert!(seals.open(Purpose::Ask, &[], &over).is_err());
        for damaged in ["", "AQ", "%%", &sealed[..sealed.len() - 2], &sealed.replace('A', "B")] {
            assert!(seals.open(Purpose::Ask, &["acme", "ada"], damaged).is_err() || damaged == sealed);
        }
    }
}
