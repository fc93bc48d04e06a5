//! Recovery codes: ten, each good for one login without the app or passkey. Shown once, kept as keyed hashes.

use aws_lc_rs::hmac;
use secrecy::SecretString;
use toolmesh_proto::ids::UserId;

use super::{Factors, store};
use crate::accounts::User;
use crate::accounts::origin::Origin;
use crate::db::UserTx;
use crate::error::{Error, Result};
use crate::mail::FactorChange;

/// How many there are.
pub const CODES: usize = 10;

/// Characters of a code: 60 random bits.
const LENGTH: usize = 12;

/// Nothing that reads like something else: no `o` beside the zero, no `i`, `l` or one.
const ALPHABET: &[u8; 32] = b"23456789abcdefghjkmnpqrstuvwxyz0";

/// Fresh codes, at the only moment they can be shown.
pub struct NewCodes(pub Vec<SecretString>);

/// Makes and recognises hashes of codes. The key is not in the database, so that a copy of it is not enough to search for the
/// codes, which are shorter than tokens for being typed by people.
#[derive(Clone)]
pub(super) struct CodeHash(hmac::Key);

impl CodeHash {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn of(&self, user: UserId, code: &str) -> Vec<u8> {
        let message = format!("{user}|{}", plain(code));
        hmac::sign(&self.0, message.as_bytes()).as_ref().to_vec()
    }
}

/// A code without what people type between and around it.
fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// `abcd-efgh-jkmn`.
fn fresh() -> Result<String> {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::rand::fill(&mut bytes).map_err(Error::internal)?;
    let mut code = String::with_capacity(LENGTH + 2);
    for (place, byte) in bytes.iter().enumerate() {
        if place > 0 && place % 4 == 0 {
            code.push('-');
        }
        // 256 is a multiple of 32: every character is as likely.
        code.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    Ok(code)
}

impl Factors {
    /// Makes new codes; the old ones die.
    ///
    /// # Errors
    /// `Refused` for who has no second factor that the codes could stand in for.
    pub async fn new_codes(&self, user: &User, from: &Origin) -> Result<NewCodes> {
        let mut tx = self.db.user(user.id).await?;
        if !store::lock_user(&mut tx).await? || !store::has_any(&mut tx).await? {
            let message = "Add an authenticator app or a passkey first; the codes stand in for it.";
            return Err(Error::Refused(message.to_owned()));
        }
        let codes = self.replace_codes(&mut tx).await?;
        self.record(&mut tx, &FactorChange::CodesRenewed, from).await?;
        tx.commit().await?;
        self.tell(user, FactorChange::CodesRenewed)?;
        Ok(codes)
    }

    pub(super) async fn replace_codes(&self, tx: &mut UserTx) -> Result<NewCodes> {
        let codes: Vec<String> = (0..CODES).map(|_| fresh()).collect::<Result<_>>()?;
        let hashes: Vec<_> = codes.iter().map(|code| self.codes.of(tx.user(), code)).collect();
        store::replace_codes(tx, &hashes).await?;
        Ok(NewCodes(codes.into_iter().map(SecretString::from).collect()))
    }

    /// Checks a recovery code at login and uses it up.
    ///
    /// # Errors
    /// A field error for a code that is wrong or was used; `TooMany` after repeated failures.
    pub async fn check_recovery(&self, user: &User, code: &str, from: &Origin) -> Result<()> {
        self.tries.take(user.id, from)?;
        let mut tx = self.db.user(user.id).await?;
        let hash = self.codes.of(user.id, code);
        if plain(code).len() != LENGTH || !store::use_code(&mut tx, &hash).await? {
            let message = "This recovery code is wrong or has been used. Each one works once.";
            return Err(Error::field("recovery", message));
        }
        let change = FactorChange::CodeUsed { left: store::codes_left(&mut tx).await? };
        self.record(&mut tx, &change, from).await?;
        tx.commit().await?;
        self.tell(user, change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_however_it_is_typed_and_only_as_its_owners() {
        let (hash, ana) = (CodeHash::new(&[7; 32]), UserId::new());
        let known = hash.of(ana, "abcd-efgh-jkmn");
        assert_eq!(known, hash.of(ana, " ABCD efgh JKMN "));
        assert_ne!(known, hash.of(UserId::new(), "abcd-efgh-jkmn"));
        assert_ne!(known, CodeHash::new(&[8; 32]).of(ana, "abcd-efgh-jkmn"));
    }

    #[test]
    fn codes_are_of_plain_characters_and_differ() {
        let (a, b) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(a, b);
        assert_eq!(plain(&a).len(), LENGTH);
        assert!(a.bytes().all(|c| c == b'-' || ALPHABET.contains(&c)), "{a}");
    }
}
