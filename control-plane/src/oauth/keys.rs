//! Signing keys: Ed25519, kept sealed in the database, pushed to nodes as public keys, changed by schedule or at once.
//!
//! Every control plane loads the same keys with their times, so all of them sign with the same one; changes are made under a
//! lock, announced, and loaded by all.

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::watch;
use toolmesh_proto::claims::{ACCESS_TOKEN_TYPE, AccessClaims};
use toolmesh_proto::v1;

use super::schedule::{self, Times};
use super::store;
use crate::credentials::envelope::{Sealed, Vault};
use crate::db::{Db, GlobalTx};
use crate::error::{Error, Result};

/// Where changed keys are announced; a wake-up, never the message.
pub const CHANNEL: &str = "toolmesh_keys";

/// What time it is; passed in, so that a test can walk through months.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// The clock on the wall.
#[must_use]
pub fn wall_clock() -> Clock {
    Arc::new(OffsetDateTime::now_utc)
}

/// The key that signs, and all that may still be checked with.
pub struct KeyRing {
    db: Db,
    vault: Vault,
    clock: Clock,
    keys: RwLock<Arc<Vec<Loaded>>>,
    public: watch::Sender<v1::KeySet>,
}

struct Loaded {
    kid: String,
    times: Times,
    signing: EncodingKey,
    public: Vec<u8>,
}

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is known, and signs from its time on.
    Next,
    Signs,
    /// It verifies what it has signed.
    Verifies,
    /// It is good for nothing.
    Retired,
}

/// A key as operators see it.
#[derive(Clone, Debug)]
pub struct KeyFact {
    pub kid: String,
    pub standing: Standing,
    pub times: Times,
    pub retired_at: Option<OffsetDateTime>,
}

/// How keys are changed out of turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The next one is published now and signs a day later; nothing breaks.
    Early,
    /// All are dropped now, and with them every access token that they signed.
    Now,
}

impl KeyRing {
    /// Loads the keys, or makes the first one.
    ///
    /// # Errors
    /// When the database fails, or a key was sealed under another key-encryption key.
    pub async fn load(db: &Db, vault: &Vault, clock: Clock) -> Result<Self> {
        let ring = Self {
            db: db.clone(),
            vault: vault.clone(),
            clock,
            keys: RwLock::default(),
            public: watch::Sender::default(),
        };
        ring.advance().await?;
        Ok(ring)
    }

    /// Does what the schedule says is due, whichever control plane comes first, and loads what there is then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn advance(&self) -> Result<()> {
        let now = (self.clock)();
        let mut tx = self.db.global().await?;
        let mut rows = store::keys(&mut tx).await?;
        if !schedule::plan(&times(&rows), now, false).is_empty() {
            store::lock_keys(&mut tx).await?;
            // Another may have done it while the lock was waited for.
            rows = store::keys(&mut tx).await?;
            if self.carry_out(&mut tx, &rows, now, false).await? {
                rows = store::keys(&mut tx).await?;
            }
        }
        tx.commit().await?;
        self.take(rows)
    }

    /// Changes keys out of turn.
    ///
    /// # Errors
    /// `Refused` when the next key is published already; when the database fails.
    pub async fn rotate(&self, rotation: Rotation) -> Result<()> {
        let now = (self.clock)();
        let mut tx = self.db.global().await?;
        store::lock_keys(&mut tx).await?;
        let rows = store::keys(&mut tx).await?;
        match rotation {
            Rotation::Early => {
                if rows.iter().any(|row| row.times.sign_from > now) {
                    let text = "The next key is published already and signs within a day or two. To drop all keys at \
                                once, add --now.";
                    return Err(Error::Refused(text.to_owned()));
                }
                self.carry_out(&mut tx, &rows, now, true).await?;
            }
            Rotation::Now => {
                for row in &rows {
                    store::retire_key(&mut tx, &row.kid, now).await?;
                }
                self.publish(&mut tx, Times::starting(now, now)).await?;
                store::announce_keys(&mut tx).await?;
            }
        }
        let rows = store::keys(&mut tx).await?;
        tx.commit().await?;
        self.take(rows)
    }

    /// All keys that there are, and those that were retired within the last thirty days; newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn facts(&self) -> Result<Vec<KeyFact>> {
        let now = (self.clock)();
        let mut tx = self.db.global().await?;
        let mut facts = store::key_facts(&mut tx, now).await?;
        tx.commit().await?;
        let living: Vec<usize> = (0..facts.len()).filter(|at| facts[*at].retired_at.is_none()).collect();
        let times: Vec<Times> = living.iter().map(|at| facts[*at].times).collect();
        let signer = schedule::signer(&times, now).map(|at| living[at]);
        for (at, fact) in facts.iter_mut().enumerate() {
            fact.standing = match (fact.retired_at, fact.times.sign_from > now) {
                (Some(_), _) => Standing::Retired,
                (None, _) if Some(at) == signer => Standing::Signs,
                (None, true) => Standing::Next,
                (None, false) => Standing::Verifies,
            };
        }
        Ok(facts)
    }

    async fn carry_out(
        &self,
        tx: &mut GlobalTx,
        rows: &[store::KeyRow],
        now: OffsetDateTime,
        early: bool,
    ) -> Result<bool> {
        let plan = schedule::plan(&times(rows), now, early);
        if plan.is_empty() {
            return Ok(false);
        }
        for row in plan.retire.iter().filter_map(|at| rows.get(*at)) {
            store::retire_key(tx, &row.kid, now).await?;
            tracing::info!(kid = row.kid, "signing key retired");
        }
        if let Some((row, times)) = plan.hand_over.and_then(|(at, times)| Some((rows.get(at)?, times))) {
            store::set_times(tx, &row.kid, &times).await?;
        }
        if let Some(times) = plan.publish {
            self.publish(tx, times).await?;
        }
        store::announce_keys(tx).await?;
        Ok(true)
    }

    async fn publish(&self, tx: &mut GlobalTx, times: Times) -> Result<()> {
        let row = generate(&self.vault, times)?;
        store::insert_key(tx, &row).await?;
        tracing::info!(kid = row.kid, sign_from = %times.sign_from, "signing key published");
        Ok(())
    }

    /// Puts what was loaded in force, and tells nodes where it is something else than before.
    fn take(&self, rows: Vec<store::KeyRow>) -> Result<()> {
        let known = self.keys();
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let same = known.iter().find(|key| key.kid == row.kid);
            let signing = match same {
                Some(key) => key.signing.clone(),
                None => self.open(&row)?,
            };
            keys.push(Loaded { kid: row.kid, times: row.times, signing, public: row.public });
        }
        let set = key_set(&keys);
        // Nothing that holds this lock can leave the keys half-changed.
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.public.send_if_modified(|public| {
            let changed = *public != set;
            *public = set;
            changed
        });
        Ok(())
    }

    fn open(&self, row: &store::KeyRow) -> Result<EncodingKey> {
        let sealed = Sealed { nonce: row.nonce.clone(), ciphertext: row.wrapped.clone() };
        Ok(EncodingKey::from_ed_der(&self.vault.open(&place(&row.kid), &sealed)?))
    }

    fn keys(&self) -> Arc<Vec<Loaded>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs an access token (RFC 9068).
    pub(super) fn sign(&self, claims: &AccessClaims) -> Result<String> {
        let keys = self.keys();
        let times: Vec<Times> = keys.iter().map(|key| key.times).collect();
        let key = schedule::signer(&times, (self.clock)()).and_then(|at| keys.get(at));
        let key = key.ok_or_else(|| Error::Internal("no signing key".to_owned()))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(ACCESS_TOKEN_TYPE.to_owned());
        header.kid = Some(key.kid.clone());
        jsonwebtoken::encode(&header, claims, &key.signing).map_err(Error::internal)
    }

    /// The claims of an access token that one of our keys signed, whatever they say.
    pub(super) fn verify(&self, token: &str) -> Option<AccessClaims> {
        // A longer one is none of ours.
        let header = (token.len() <= 4096).then(|| jsonwebtoken::decode_header(token).ok()).flatten()?;
        if header.typ.as_deref() != Some(ACCESS_TOKEN_TYPE) {
            return None;
        }
        let keys = self.keys();
        let key = keys.iter().find(|key| Some(&key.kid) == header.kid.as_ref())?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        rules.validate_aud = false;
        jsonwebtoken::decode(token, &DecodingKey::from_ed_der(&key.public), &rules)
            .map(|data| data.claims)
            .ok()
    }

    /// For nodes: the keys now, and whenever they change.
    #[must_use]
    pub fn key_set(&self) -> watch::Receiver<v1::KeySet> {
        self.public.subscribe()
    }

    /// A JSON Web Key Set (RFC 7517, RFC 8037).
    #[must_use]
    pub fn jwks(&self) -> Value {
        let jwk = |key: &Loaded| {
            json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.kid,
                    "x": URL_SAFE_NO_PAD.encode(&key.public) })
        };
        json!({ "keys": self.keys().iter().map(jwk).collect::<Vec<_>>() })
    }
}

fn times(rows: &[store::KeyRow]) -> Vec<Times> {
    rows.iter().map(|row| row.times).collect()
}

fn key_set(keys: &[Loaded]) -> v1::KeySet {
    let key = |key: &Loaded| v1::VerifyingKey { kid: key.kid.clone(), ed25519: key.public.clone() };
    v1::KeySet { keys: keys.iter().map(key).collect() }
}

fn generate(vault: &Vault, times: Times) -> Result<store::KeyRow> {
    let pair = Ed25519KeyPair::generate().map_err(Error::internal)?;
    let pkcs8 = pair.to_pkcs8().map_err(Error::internal)?;
    let public = pair.public_key().as_ref().to_vec();
    let kid = toolmesh_proto::hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &public).as_ref())
        [..16]
        .to_owned();
    let sealed = vault.seal(&place(&kid), pkcs8.as_ref())?;
    Ok(store::KeyRow { kid, public, nonce: sealed.nonce, wrapped: sealed.ciphertext, times })
}

fn place(kid: &str) -> String {
    format!("signing-key|{kid}")
}
