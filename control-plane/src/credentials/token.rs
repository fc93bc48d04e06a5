//! Opaque tokens: random text that is shown once and kept as its SHA-256.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::{Error, Result};

/// A fresh token of 256 random bits, with its hash.
pub struct Token {
    pub secret: SecretString,
    pub hash: Vec<u8>,
}

impl Token {
    /// # Errors
    /// Only if the system has no randomness.
    pub fn new(prefix: &str) -> Result<Self> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(Error::internal)?;
        let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes));
        Ok(Self { hash: hash(&text), secret: SecretString::from(text) })
    }

    /// The last four characters.
    #[must_use]
    pub fn last4(&self) -> String {
        let text = self.secret.expose_secret();
        text[text.len() - 4..].to_owned()
    }
}

/// SHA-256 of a token as it is looked up.
#[must_use]
pub fn hash(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}
