//! What is done once, by an operator's word, after the database was restored from a backup. With the rows, everything is back
//! that was taken back since: connections of apps, logins, API keys, signing keys that were dropped. Nobody can tell which, so
//! all of them end. Nodes that know later revisions than the database has are brought forward by `push`.

use crate::accounts::{keys, sessions};
use crate::credentials::envelope::Vault;
use crate::db::Db;
use crate::error::Result;
use crate::oauth::keys::{KeyRing, Rotation, wall_clock};
use crate::revocations::{self, Reach, What};
use crate::tenants;

/// What has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub workspaces: usize,
    /// Connections of apps.
    pub grants: u64,
    pub sessions: u64,
}

/// Ends what a backup has brought back. Done again, it ends what came since, and nothing else happens.
///
/// # Errors
/// When the database fails; what was ended until then stays ended.
pub async fn end_what_came_back(db: &Db, vault: &Vault, keep_api_keys: bool) -> Result<Ended> {
    // First: a key that was dropped because somebody has it must not sign for one more moment.
    KeyRing::load(db, vault, wall_clock()).await?.rotate(Rotation::Now).await?;
    let mut tx = db.global().await?;
    let sessions = sessions::end_everybodys(&mut tx).await?;
    let heads = tenants::store::heads(&mut tx).await?;
    tx.commit().await?;
    let mut ended = Ended { workspaces: heads.len(), sessions, ..Ended::default() };
    for (tenant, _) in heads {
        let mut tx = db.tenant(tenant).await?;
        let reach = if keep_api_keys { Reach::Tokens } else { Reach::TokensAndKeys };
        let reason = "the database was restored from a backup";
        ended.grants += revocations::revoke(&mut tx, &What::Everything, reach, reason).await?.grants;
        if !keep_api_keys {
            keys::revoke_all(&mut tx).await?;
        }
        tx.commit_change().await?;
    }
    tracing::warn!(?ended, keep_api_keys, "what a backup had brought back is ended");
    Ok(ended)
}
