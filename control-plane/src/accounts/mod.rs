//! People: sign-up, verification, login, sessions, what happened to an account; members, groups, invitations and API keys of a
//! workspace.
//!
//! Knows nothing of connectors or OAuth. What it answers never tells whether an address is known.

pub mod codes;
pub mod events;
pub mod external;
pub mod factors;
pub mod groups;
pub mod invitations;
pub mod keys;
pub mod members;
pub mod origin;
pub mod password;
pub mod profile;
pub mod reset;
pub mod service_accounts;
pub mod sessions;
pub mod signup;
pub mod store;
pub mod take_back;
pub mod throttle;

use secrecy::SecretString;
use time::OffsetDateTime;
use toolmesh_proto::ids::UserId;

use crate::db::Db;
use crate::error::{Error, OnConstraint as _, Result};
use crate::mail::Mailer;
use codes::Codes;
use password::Passwords;
pub use signup::{LinkBinding, SignUp};
use throttle::{ClientNetwork, Throttle};

/// A person.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct User {
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub verified_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
}

/// An e-mail address as it is stored and compared: trimmed, lower case, plausibly deliverable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// # Errors
    /// When this cannot be an address that mail is delivered to.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim().to_lowercase();
        let wrong = || Error::field("email", "Enter an e-mail address, such as ana@example.com.");
        if text.len() > 254 || text.chars().any(char::is_control) {
            return Err(wrong());
        }
        let address: lettre::Address = text.parse().map_err(|_| wrong())?;
        let domain = address.domain();
        if domain.starts_with('[') || !(domain.contains('.') || domain == "localhost") {
            return Err(wrong());
        }
        Ok(Self(text))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The accounts capability with what it needs.
#[derive(Clone)]
pub struct Accounts {
    db: Db,
    passwords: Passwords,
    mailer: Mailer,
    throttle: Throttle,
    codes: Codes,
    console_origin: String,
}

impl Accounts {
    #[must_use]
    pub fn new(db: Db, passwords: Passwords, codes: Codes, mailer: Mailer, console_origin: String) -> Self {
        Self { db, passwords, mailer, throttle: Throttle::default(), codes, console_origin }
    }

    /// A verified account without a mail, for operators.
    ///
    /// # Errors
    /// When a field is wrong or the address is taken.
    pub async fn create_verified(&self, input: SignUp) -> Result<User> {
        let email = Email::parse(&input.email)?;
        let name = person_name(&input.name)?;
        let hash = self.passwords.accept(input.password, vec![email.as_str().to_owned()]).await?;
        let mut tx = self.db.global().await?;
        let id = UserId::new();
        store::insert_user(&mut tx, id, email.as_str(), &name, &hash)
            .await
            .on_constraint("users_email_key", || {
                Error::field("email", "This address already has an account.")
            })?;
        store::mark_verified(&mut tx, id).await?;
        let user = store::user_by_id(&mut tx, id).await?.ok_or(Error::NotFound)?;
        tx.commit().await?;
        Ok(user)
    }

    /// Lets somebody try a password or code: at once, a second later where the account is tried from everywhere, or not.
    ///
    /// # Errors
    /// `TooMany` with the seconds to wait.
    pub async fn may_try(&self, email: &str, network: &ClientNetwork) -> Result<()> {
        self.throttle.login(email, network)?;
        let delay = self.throttle.delay(email);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        Ok(())
    }

    /// Checks a login. An unknown address, an unverified account and a wrong password cost the same time and read the same.
    ///
    /// # Errors
    /// `Field` on the password when the two do not fit; `TooMany` after repeated failures.
    pub async fn log_in(&self, email: &str, password: SecretString, address: &ClientNetwork) -> Result<User> {
        let wrong = || Error::field("password", "Email and password do not match a confirmed account.");
        let email = Email::parse(email).map_err(|_| wrong())?;
        self.may_try(email.as_str(), address).await?;
        let mut tx = self.db.global().await?;
        let known = store::password_hash(&mut tx, email.as_str()).await?;
        drop(tx);
        let (id, stored) = known.map_or((None, None), |(id, stored)| (Some(id), stored));
        let verdict = self.passwords.verify(password, stored).await?;
        let (Some(id), true) = (id, verdict.is_right()) else { return Err(wrong()) };
        let mut tx = self.db.global().await?;
        let user = store::user_by_id(&mut tx, id).await?.ok_or_else(wrong)?;
        if user.verified_at.is_none() {
            // The password was right, so the owner of the address is told how to go on, by mail only.
            if self.throttle.mail_to(&user.email) {
                let hash = store::password_hash(&mut tx, &user.email)
                    .await?
                    .and_then(|(_, hash)| hash)
                    .unwrap_or_default();
                let (mail, _) = self.verification(&mut tx, &user, &user.name, &hash).await?;
                tx.commit().await?;
                self.mailer.send(mail);
            }
            return Err(wrong());
        }
        if let Some(fresh) = verdict.rehashed() {
            store::set_password_hash(&mut tx, id, fresh).await?;
        }
        tx.commit().await?;
        Ok(user)
    }

    /// Checks the password of somebody who is logged in and shall prove it again.
    ///
    /// # Errors
    /// `Field` on the password when it does not fit or there is none; `TooMany` after repeated failures.
    pub async fn check_password(
        &self,
        user: &User,
        password: SecretString,
        address: &ClientNetwork,
    ) -> Result<()> {
        self.may_try(&user.email, address).await?;
        let stored = store::password_of(&mut self.db.global().await?, user.id).await?;
        if self.passwords.verify(password, stored).await?.is_right() {
            Ok(())
        } else {
            Err(Error::field("password", "This is not your password."))
        }
    }

    /// Whether somebody has a password, or logs in with another provider alone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_password(&self, user: UserId) -> Result<bool> {
        Ok(store::password_of(&mut self.db.global().await?, user).await?.is_some())
    }

    /// # Errors
    /// When the database fails; `NotFound` for an account that is gone.
    pub async fn user(&self, id: UserId) -> Result<User> {
        let mut tx = self.db.global().await?;
        store::user_by_id(&mut tx, id).await?.ok_or(Error::NotFound)
    }

    /// # Errors
    /// When the database fails; `NotFound` for an unknown address.
    pub async fn user_by_email(&self, email: &str) -> Result<User> {
        let mut tx = self.db.global().await?;
        store::user_by_email(&mut tx, Email::parse(email)?.as_str()).await?.ok_or(Error::NotFound)
    }

    /// Forgets what throttling no longer needs, and links that have ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy(&self) -> Result<()> {
        self.throttle.tidy();
        let mut tx = self.db.global().await?;
        store::prune(&mut tx).await?;
        events::store::prune(&mut tx).await?;
        Ok(tx.commit().await?)
    }
}

/// A name as people are shown it: 1 to 80 characters, no control or direction-changing ones.
///
/// # Errors
/// When it is empty, too long or holds such characters.
pub fn person_name(text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 80 {
        return Err(Error::field("name", "Enter a name of 1 to 80 characters."));
    }
    if text.chars().any(is_invisible) {
        return Err(Error::field("name", "Use visible characters only."));
    }
    Ok(text.to_owned())
}

/// Control characters and those that change the direction of text, which can make a name read as another.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_lower_case_and_implausible_ones_refused() {
        assert_eq!(Email::parse(" Ana@Example.COM ").unwrap().as_str(), "ana@example.com");
        for bad in
            ["", "ana", "ana@", "@example.com", "ana@com", "a b@example.com", "ana@[127.0.0.1]", "a\n@b.c"]
        {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_cannot_hide_characters() {
        assert!(person_name("Ana \u{202e}nimda").is_err());
        assert_eq!(person_name("  Ana  ").unwrap(), "Ana");
    }
}
