//! Passwords: what is accepted, and hashing with argon2id on a bounded pool. What is hashed is not the password itself but its
//! MAC under a key that is not in the database, so that who has the database alone cannot even begin to guess.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use aws_lc_rs::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Memory in KiB, passes, lanes: about 0.1 s on a server core, and 64 MiB an attacker needs for each guess.
const COST: (u32, u32, u32) = (64 * 1024, 3, 1);

/// Most characters; more would only cost time.
const MAX_LENGTH: usize = 128;

/// At most this many wait for a place; more get an answer at once instead of a queue.
const MAX_WAITING: usize = 64;

/// Stands before the hash of a password that was keyed first. Without it the password itself was hashed; such a hash still
/// verifies, and is replaced at the next login.
const KEYED: &str = "hmac-sha256:";

/// Checks a new password: 12 to 128 characters, hard to guess, also for one who knows the context words (the address, the
/// name). The lists of common and leaked passwords are shipped with the estimator; nothing is asked over the network.
///
/// # Errors
/// Says on the field `password` what is wrong and what would be better.
fn check(password: &SecretString, context: &[String]) -> Result<()> {
    let text = password.expose_secret();
    let length = text.chars().count();
    if length < 12 {
        return Err(Error::field(
            "password",
            "Use at least 12 characters. A few unrelated words are easy to remember.",
        ));
    }
    if length > MAX_LENGTH {
        return Err(Error::field("password", "Use at most 128 characters."));
    }
    let mut words: Vec<&str> = vec!["toolmesh"];
    for word in context {
        words.extend(word.split(|c: char| !c.is_alphanumeric()).filter(|part| part.len() > 2));
    }
    // What is left without words that anybody can look up must still be long enough to guess at.
    let rest = words.iter().fold(text.to_lowercase(), |rest, word| rest.replace(&word.to_lowercase(), ""));
    let personal = rest.chars().filter(|c| !c.is_whitespace()).count() < 8;
    if personal || zxcvbn::zxcvbn(text, &words).score() < zxcvbn::Score::Three {
        let message =
            "This password is common or easy to guess. Use a few unrelated words, or a password manager's.";
        return Err(Error::field("password", message));
    }
    Ok(())
}

/// Hashes and verifies on blocking threads, a few at a time.
#[derive(Clone)]
pub struct Passwords {
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Verified in place of an unknown user's, so that both take the same time.
    stand_in: Arc<str>,
    pepper: hmac::Key,
}

/// What came of a verification.
pub struct Verdict {
    right: bool,
    rehashed: Option<String>,
}

impl Verdict {
    #[must_use]
    pub const fn is_right(&self) -> bool {
        self.right
    }

    /// A new hash to store, where the old one was made with other costs.
    #[must_use]
    pub fn rehashed(&self) -> Option<&str> {
        self.rehashed.as_deref()
    }
}

impl Passwords {
    /// # Errors
    /// Only if the crypto library refuses the costs.
    pub fn new(places: usize, pepper: &[u8; 32]) -> Result<Self> {
        let pepper = hmac::Key::new(hmac::HMAC_SHA256, pepper);
        let stand_in = hash_now(&pepper, "a password that nobody has")?;
        Ok(Self {
            places: Arc::new(Semaphore::new(places.max(1))),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            stand_in: stand_in.into(),
            pepper,
        })
    }

    /// Checks a new password, also against words of its context, and hashes it: a PHC string with its own salt.
    ///
    /// # Errors
    /// As for `check`; `Busy` when too many wait already.
    pub async fn accept(&self, password: SecretString, context: Vec<String>) -> Result<String> {
        let pepper = self.pepper.clone();
        self.run(move || {
            check(&password, &context)?;
            hash_now(&pepper, password.expose_secret())
        })
        .await
    }

    /// Checks a password against a stored hash, or takes the same time where there is none.
    ///
    /// # Errors
    /// `Busy` when too many wait already.
    pub async fn verify(&self, password: SecretString, stored: Option<String>) -> Result<Verdict> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.stand_in.to_string());
        let pepper = self.pepper.clone();
        self.run(move || {
            let text = password.expose_secret();
            let (keyed, phc) = stored.strip_prefix(KEYED).map_or((false, stored.as_str()), |phc| (true, phc));
            let parsed = PasswordHash::new(phc).map_err(Error::internal)?;
            let mac = hmac::sign(&pepper, text.as_bytes());
            let hashed = if keyed { mac.as_ref() } else { text.as_bytes() };
            // The costs are the stored hash's own. One too long is hashed too: its time must not tell anything.
            let fits =
                argon2()?.verify_password(hashed, &parsed).is_ok() && text.chars().count() <= MAX_LENGTH;
            let right = fits && known;
            let (memory, passes, lanes) = COST;
            let current = keyed && phc.contains(&format!("m={memory},t={passes},p={lanes}"));
            let rehashed = if right && !current { Some(hash_now(&pepper, text)?) } else { None };
            Ok(Verdict { right, rehashed })
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Error::Busy)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(Error::internal)?;
        let task = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        task.await.map_err(Error::internal)?
    }
}

fn argon2() -> Result<Argon2<'static>> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(Error::internal)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_now(pepper: &hmac::Key, password: &str) -> Result<String> {
    let mac = hmac::sign(pepper, password.as_bytes());
    let phc = argon2()?.hash_password(mac.as_ref()).map_err(Error::internal)?;
    Ok(format!("{KEYED}{phc}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Result<()> {
        check(&SecretString::from(text), &["ana.lopez@acme.example".to_owned()])
    }

    #[test]
    fn short_common_and_personal_passwords_are_refused() {
        for bad in [
            "short",
            "password1234",
            "qwertyuiop123",
            "123456789012",
            "aaaaaaaaaaaa",
            "ana.lopez@acme",
            "toolmesh2026",
        ] {
            assert!(check_text(bad).is_err(), "{bad}");
        }
        assert!(check_text(&"x9$".repeat(50)).is_err(), "too long");
    }

    #[test]
    fn a_few_unrelated_words_are_accepted() {
        assert!(check_text("copper lantern drifts sideways").is_ok());
    }

    #[tokio::test]
    async fn a_password_verifies_only_against_its_own_hash() {
        let passwords = Passwords::new(1, &[1; 32]).unwrap();
        let hash = passwords.accept(SecretString::from("copper lantern drifts"), Vec::new()).await.unwrap();
        assert!(hash.starts_with("hmac-sha256:$argon2id$v=19$m=65536,t=3,p=1$"));
        let right =
            passwords.verify(SecretString::from("copper lantern drifts"), Some(hash.clone())).await.unwrap();
        assert!(right.is_right() && right.rehashed().is_none());
        assert!(
            !passwords.verify(SecretString::from("copper lantern"), Some(hash)).await.unwrap().is_right()
        );
        let stand_in =
            passwords.verify(SecretString::from("a password that nobody has"), None).await.unwrap();
        assert!(!stand_in.is_right(), "the stand-in for unknown users must never fit");
    }
    #[tokio::test]
    async fn an_older_hash_verifies_and_is_replaced_by_a_keyed_one() {
        let passwords = Passwords::new(1, &[1; 32]).unwrap();
        let text = "copper lantern drifts";
        let older = argon2().unwrap().hash_password(text.as_bytes()).unwrap().to_string();
        let verdict = passwords.verify(SecretString::from(text), Some(older)).await.unwrap();
        assert!(verdict.is_right());
        let fresh = verdict.rehashed().unwrap().to_owned();
        assert!(fresh.starts_with(KEYED));
        assert!(passwords.verify(SecretString::from(text), Some(fresh.clone())).await.unwrap().is_right());
        let other = Passwords::new(1, &[2; 32]).unwrap();
        assert!(!other.verify(SecretString::from(text), Some(fresh)).await.unwrap().is_right());
    }

    #[tokio::test]
    async fn when_too_many_wait_the_next_is_told_so_at_once() {
        let passwords = Passwords::new(1, &[1; 32]).unwrap();
        let _taken = passwords.waiting.acquire_many(u32::try_from(MAX_WAITING).unwrap()).await.unwrap();
        let refused = passwords.verify(SecretString::from("copper lantern drifts"), None).await;
        assert!(matches!(refused, Err(Error::Busy)));
    }
}
