//! Signing keys: Ed25519, kept sealed in the database, pushed to nodes as public keys.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use toolmesh_proto::claims::{ACCESS_TOKEN_TYPE, AccessClaims};
use toolmesh_proto::v1;

use super::store;
use crate::credentials::envelope::{Sealed, Vault};
use crate::db::Db;
use crate::error::{Error, Result};

/// The key that signs, and all that may still be checked with.
pub struct KeyRing {
    kid: String,
    signing: EncodingKey,
    public: Vec<(String, Vec<u8>)>,
}

impl KeyRing {
    /// Loads the keys, or makes the first one.
    ///
    /// # Errors
    /// When the database fails, or a key was sealed under another key-encryption key.
    pub async fn load(db: &Db, vault: &Vault) -> Result<Self> {
        let mut tx = db.global().await?;
        store::lock_keys(&mut tx).await?;
        let mut rows = store::keys(&mut tx).await?;
        if rows.is_empty() {
            let row = generate(vault)?;
            store::insert_key(&mut tx, &row).await?;
            rows.push(row);
        }
        tx.commit().await?;
        // The newest signs; all of them verify.
        let newest = rows.last().ok_or_else(|| Error::Internal("no signing key".to_owned()))?;
        let sealed = Sealed { nonce: newest.nonce.clone(), ciphertext: newest.wrapped.clone() };
        let pkcs8 = vault.open(&place(&newest.kid), &sealed)?;
        Ok(Self {
            kid: newest.kid.clone(),
            signing: EncodingKey::from_ed_der(&pkcs8),
            public: rows.into_iter().map(|row| (row.kid, row.public)).collect(),
        })
    }

    /// Signs an access token (RFC 9068).
    pub(super) fn sign(&self, claims: &AccessClaims) -> Result<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(ACCESS_TOKEN_TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.signing).map_err(Error::internal)
    }

    /// For nodes.
    #[must_use]
    pub fn key_set(&self) -> v1::KeySet {
        let key = |(kid, public): &(String, Vec<u8>)| v1::VerifyingKey {
            kid: kid.clone(),
            ed25519: public.clone(),
        };
        v1::KeySet { keys: self.public.iter().map(key).collect() }
    }

    /// A JSON Web Key Set (RFC 7517, RFC 8037).
    #[must_use]
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self
            .public
            .iter()
            .map(|(kid, public)| {
                json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid,
                        "x": URL_SAFE_NO_PAD.encode(public) })
            })
            .collect();
        json!({ "keys": keys })
    }
}

fn generate(vault: &Vault) -> Result<store::KeyRow> {
    let pair = Ed25519KeyPair::generate().map_err(Error::internal)?;
    let pkcs8 = pair.to_pkcs8().map_err(Error::internal)?;
    let public = pair.public_key().as_ref().to_vec();
    let kid = toolmesh_proto::hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &public).as_ref())
        [..16]
        .to_owned();
    let sealed = vault.seal(&place(&kid), pkcs8.as_ref())?;
    Ok(store::KeyRow { kid, public, nonce: sealed.nonce, wrapped: sealed.ciphertext })
}

fn place(kid: &str) -> String {
    format!("signing-key|{kid}")
}
