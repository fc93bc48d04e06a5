//! People: sign-up, verification, login, sessions, what happened to an account; members, invitations and API keys of a workspace.
//!
//! Knows nothing of connectors or OAuth. What it answers never tells whether an address is known.

pub mod events;
pub mod invitations;
pub mod keys;
pub mod members;
pub mod origin;
pub mod password;
pub mod service_accounts;
pub mod sessions;
pub mod store;
pub mod throttle;

use secrecy::{ExposeSecret as _, SecretString};
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::UserId;

use crate::credentials::token::{self, Token};
use crate::db::{Db, GlobalTx};
use crate::error::{Error, OnConstraint as _, Result};
use crate::mail::{Mailer, Message};
use password::Passwords;
use throttle::{ClientNetwork, Throttle};

/// Life of a link in a verification mail.
const VERIFY_LIFE: Duration = Duration::hours(24);

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

/// What a person types to sign up.
pub struct SignUp {
    pub name: String,
    pub email: String,
    pub password: SecretString,
}

/// Binds a verification link to the browser that signed up; kept in its session.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LinkBinding(String);

impl LinkBinding {
    /// Whether this browser made the sign-up that the link belongs to.
    #[must_use]
    pub fn is_of(&self, link_token: &str) -> bool {
        self.fits(&token::hash(link_token))
    }

    fn fits(&self, hash: &[u8]) -> bool {
        self.0 == toolmesh_proto::hex(hash)
    }
}

/// The accounts capability with what it needs.
#[derive(Clone)]
pub struct Accounts {
    db: Db,
    passwords: Passwords,
    mailer: Mailer,
    throttle: Throttle,
    console_origin: String,
}

impl Accounts {
    #[must_use]
    pub fn new(db: Db, passwords: Passwords, mailer: Mailer, console_origin: String) -> Self {
        Self { db, passwords, mailer, throttle: Throttle::default(), console_origin }
    }

    /// Makes an unconfirmed account, or another attempt at one, and sends its link; tells the owner of a confirmed address by
    /// mail. The person sees the same page either way. Answers what binds the link to this browser.
    ///
    /// # Errors
    /// Names the field that has to be mended.
    pub async fn sign_up(&self, input: SignUp, address: &ClientNetwork) -> Result<Option<LinkBinding>> {
        self.throttle.sign_up(address)?;
        let email = Email::parse(&input.email)?;
        let name = person_name(&input.name)?;
        let context = vec![email.as_str().to_owned(), name.clone()];
        // Hashed before the look-up, so that a known address takes as long as a new one.
        let hash = self.passwords.accept(input.password, context).await?;
        let mut tx = self.db.global().await?;
        let known = store::user_by_email(&mut tx, email.as_str()).await?;
        if !self.throttle.mail_to(email.as_str()) {
            return Ok(None);
        }
        if let Some(user) = known.as_ref().filter(|user| user.verified_at.is_some()) {
            let login = format!("{}/login", self.console_origin);
            self.mailer.send(Message::already_registered(&user.email, &user.name, login)?);
            return Ok(None);
        }
        let id = known.map_or_else(UserId::new, |user| user.id);
        // Somebody who was faster has made the same account; this attempt is theirs to confirm then, or ours to repeat.
        store::insert_user(&mut tx, id, email.as_str(), &name, &hash)
            .await
            .on_constraint("users_email_key", || Error::Busy)?;
        let (link, binding) = self.verification_link(&mut tx, id, &name, &hash).await?;
        tx.commit().await?;
        self.mailer.send(Message::verify(email.as_str(), &name, link)?);
        Ok(Some(binding))
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

    /// Whom a verification link belongs to, while it is good.
    ///
    /// # Errors
    /// When the link is unknown, used or expired.
    pub async fn verification(&self, token: &str) -> Result<User> {
        let mut tx = self.db.global().await?;
        store::open_email_token(&mut tx, &token::hash(token)).await?.ok_or_else(dead_link)
    }

    /// Uses a verification link: the account gets the name and password of the sign-up that the link belongs to. In the browser
    /// that signed up, the link is enough; in another, the password is asked too, so that nobody can sign up with somebody
    /// else's address and have the owner confirm it.
    ///
    /// # Errors
    /// When the link is dead or the password is wrong.
    pub async fn verify(
        &self,
        token: &str,
        browser: Option<&LinkBinding>,
        password: SecretString,
        address: &ClientNetwork,
    ) -> Result<User> {
        let hash = token::hash(token);
        let mut tx = self.db.global().await?;
        let user = store::open_email_token(&mut tx, &hash).await?.ok_or_else(dead_link)?;
        let chosen = store::chosen_password(&mut tx, &hash).await?;
        // No connection is held while the password is checked, which takes its time.
        drop(tx);
        if !browser.is_some_and(|binding| binding.fits(&hash)) {
            self.throttle.login(&user.email, address)?;
            if !self.passwords.verify(password, chosen).await?.is_right() {
                return Err(Error::field("password", "This is not the password that was chosen at sign-up."));
            }
        }
        let mut tx = self.db.global().await?;
        if !store::use_email_token(&mut tx, &hash).await? {
            return Err(dead_link());
        }
        tx.commit().await?;
        Ok(user)
    }

    /// Checks a login. An unknown address, an unverified account and a wrong password cost the same time and read the same.
    ///
    /// # Errors
    /// `Field` on the password when the two do not fit; `TooMany` after repeated failures.
    pub async fn log_in(&self, email: &str, password: SecretString, address: &ClientNetwork) -> Result<User> {
        let wrong = || Error::field("password", "Email and password do not match a confirmed account.");
        let email = Email::parse(email).map_err(|_| wrong())?;
        self.throttle.login(email.as_str(), address)?;
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
                let (link, _) = self.verification_link(&mut tx, id, &user.name, &hash).await?;
                tx.commit().await?;
                self.mailer.send(Message::verify(&user.email, &user.name, link)?);
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
        self.throttle.login(&user.email, address)?;
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
        store::prune_email_tokens(&mut tx).await?;
        events::store::prune(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    async fn verification_link(
        &self,
        tx: &mut GlobalTx,
        user: UserId,
        name: &str,
        password_hash: &str,
    ) -> Result<(String, LinkBinding)> {
        let token = Token::new("")?;
        let expires_at = OffsetDateTime::now_utc() + VERIFY_LIFE;
        store::insert_email_token(tx, &token.hash, user, (name, password_hash), expires_at).await?;
        let link = format!("{}/verify?token={}", self.console_origin, token.secret.expose_secret());
        Ok((link, LinkBinding(toolmesh_proto::hex(&token.hash))))
    }
}

fn dead_link() -> Error {
    Error::Gone("This link has been used or has expired. Log in, or sign up again to get a new one.")
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
