//! The keys that access tokens are checked with, and what they have found good so far.

use std::collections::HashMap;

use jsonwebtoken::DecodingKey;
use toolmesh_proto::claims::AccessClaims;
use toolmesh_proto::v1;

/// Most checked tokens that are remembered.
const REMEMBERED: u64 = 20_000;

/// One set of keys, as pushed; replaced as a whole, and with it what was remembered.
pub struct Keys {
    by_id: HashMap<String, DecodingKey>,
    /// Claims of tokens whose signature these keys have found good, by the SHA-256 of the whole token. A signature is good
    /// or bad for ever; every claim is checked again on every request.
    good: moka::sync::Cache<[u8; 32], std::sync::Arc<AccessClaims>>,
}

impl Keys {
    /// Reads a pushed set; a key of the wrong length is left out.
    #[must_use]
    pub fn new(set: &v1::KeySet) -> Self {
        let sound = set.keys.iter().filter(|key| key.ed25519.len() == 32 && !key.kid.is_empty());
        let by_id = sound.map(|key| (key.kid.clone(), DecodingKey::from_ed_der(&key.ed25519))).collect();
        let lifetime =
            std::time::Duration::from_secs(toolmesh_proto::claims::ACCESS_TOKEN_SECONDS.unsigned_abs());
        let good = moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(lifetime).build();
        Self { by_id, good }
    }

    pub(super) fn get(&self, kid: &str) -> Option<&DecodingKey> {
        self.by_id.get(kid)
    }

    pub(super) fn remembered(&self, sha256: &[u8; 32]) -> Option<std::sync::Arc<AccessClaims>> {
        self.good.get(sha256)
    }

    pub(super) fn remember(&self, sha256: [u8; 32], claims: &std::sync::Arc<AccessClaims>) {
        self.good.insert(sha256, std::sync::Arc::clone(claims));
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new(&v1::KeySet::default())
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("ids", &self.by_id.keys()).finish_non_exhaustive()
    }
}
