//! A new password by mail, for who has forgotten theirs or never had one. It proves the address and nothing more: whoever has
//! set one logs in with it, second factor and all.

use secrecy::{ExposeSecret as _, SecretString};
use time::{Duration, OffsetDateTime};

use super::events::{self, Kind};
use super::origin::Origin;
use super::throttle::ClientNetwork;
use super::{Accounts, Email, User, sessions, store};
use crate::credentials::token::{self, Token};
use crate::error::{Error, Result};
use crate::mail::Message;
use crate::revocations;

/// Life of a link.
const RESET_LIFE: Duration = Duration::minutes(30);

impl Accounts {
    /// Sends a link to a confirmed account's address. Answers the same for an address that nobody has, after the same statements.
    ///
    /// # Errors
    /// `Field` on what is no address; `TooMany` from a network that asks too often.
    pub async fn ask_reset(&self, email: &str, network: &ClientNetwork) -> Result<()> {
        let email = Email::parse(email)?;
        self.throttle.sign_up(network)?;
        if !self.throttle.mail_to(email.as_str()) {
            return Ok(());
        }
        let token = Token::new("")?;
        let mut tx = self.db.global().await?;
        let expires_at = OffsetDateTime::now_utc() + RESET_LIFE;
        let user = store::insert_reset(&mut tx, &token.hash, email.as_str(), expires_at).await?;
        tx.commit().await?;
        if let Some(user) = user {
            let secret = token.secret.expose_secret();
            let link = format!("{}/reset/new?token={secret}", self.console_origin);
            self.mailer.send(Message::reset(&user.email, &user.name, link)?);
        }
        Ok(())
    }

    /// Whose password a link would set, while it is good.
    ///
    /// # Errors
    /// `Gone` for a link that is dead.
    pub async fn resettable(&self, token: &str) -> Result<User> {
        let mut tx = self.db.global().await?;
        store::open_reset(&mut tx, &token::hash(token)).await?.ok_or_else(dead)
    }

    /// Sets a new password with a link: all sessions end, other links die, and the person is told. Logs nobody in.
    ///
    /// # Errors
    /// `Field` on a password that will not do; `Gone` for a link that is dead.
    pub async fn reset(&self, token: &str, password: SecretString, from: &Origin) -> Result<()> {
        let user = self.resettable(token).await?;
        let hash = self.passwords.accept(password, vec![user.email.clone(), user.name.clone()]).await?;
        let mut tx = self.db.global().await?;
        if !store::use_reset(&mut tx, &token::hash(token)).await? {
            return Err(dead());
        }
        store::set_password(&mut tx, user.id, &hash).await?;
        store::end_resets(&mut tx, user.id).await?;
        sessions::end_all(&mut tx, user.id).await?;
        let ended = revocations::revoke_everywhere(tx.conn(), user.id, "the password was reset").await?;
        tracing::info!(user = %user.id, grants = ended.grants, "password reset");
        events::record(&mut tx, user.id, Kind::PasswordReset, from, "").await?;
        tx.commit().await?;
        self.tell(&user, Kind::PasswordReset, from, "")
    }
}

fn dead() -> Error {
    Error::Gone("This link has been used or is older than half an hour. Ask for a new one.")
}
