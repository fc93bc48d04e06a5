//! What people change of their own account: name, password, address.

use secrecy::{ExposeSecret as _, SecretString};
use time::{Duration, OffsetDateTime};
use tower_sessions::Session;

use super::codes::Code;
use super::events::{self, Kind};
use super::origin::Origin;
use super::throttle::ClientNetwork;
use super::{Accounts, Email, User, members, person_name, sessions, store};
use crate::credentials::token::{self, Token};
use crate::error::{Error, OnConstraint as _, Result};
use crate::mail::{AddressMail, Message};
use crate::revocations;

/// Life of the link and code that confirm a new address.
const CONFIRM_LIFE: Duration = Duration::minutes(30);

/// How long the owner of the old address may take the change back.
const UNDO_LIFE: Duration = Duration::days(7);

/// An address that somebody wants to have and has not confirmed yet.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct PendingEmail {
    pub email: String,
    pub expires_at: OffsetDateTime,
}

/// A change of address: whose, and to what.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EmailChange {
    #[sqlx(try_from = "uuid::Uuid")]
    pub user_id: toolmesh_proto::ids::UserId,
    pub email: String,
}

impl Accounts {
    /// # Errors
    /// When the name cannot be one.
    pub async fn rename(&self, user: &User, name: &str) -> Result<()> {
        let name = person_name(name)?;
        let mut tx = self.db.global().await?;
        store::set_name(&mut tx, user.id, &name).await?;
        Ok(tx.commit().await?)
    }

    /// Sets a new password for somebody who knows the old one. All other sessions end, and the person is told.
    ///
    /// # Errors
    /// `Field` on `current` or `password`; `Refused` where there is no password yet; `TooMany` after repeated failures.
    pub async fn change_password(
        &self,
        user: &User,
        (current, new): (SecretString, SecretString),
        session: &Session,
        from: &Origin,
    ) -> Result<()> {
        self.may_try(&user.email, &ClientNetwork::of(&from.address)).await?;
        let stored = store::password_of(&mut self.db.global().await?, user.id).await?;
        if stored.is_none() {
            return Err(Error::Refused("This account has no password yet. Set one by mail.".to_owned()));
        }
        let same = current.expose_secret() == new.expose_secret();
        if !self.passwords.verify(current, stored).await?.is_right() {
            return Err(Error::field("current", "This is not your password."));
        }
        if same {
            return Err(Error::field("password", "This is the password you have. Choose another one."));
        }
        let hash = self.passwords.accept(new, vec![user.email.clone(), user.name.clone()]).await?;
        let mut tx = self.db.global().await?;
        store::set_password(&mut tx, user.id, &hash).await?;
        store::end_resets(&mut tx, user.id).await?;
        sessions::end_others(&mut tx, user.id, session).await?;
        let ended = revocations::revoke_everywhere(tx.conn(), user.id, "the password was changed").await?;
        tracing::info!(user = %user.id, grants = ended.grants, "password changed");
        events::record(&mut tx, user.id, Kind::PasswordChanged, from, "").await?;
        tx.commit().await?;
        self.tell(user, Kind::PasswordChanged, from, "")
    }

    /// Sends a link and a code to an address that somebody wants to have. The page says the same whether or not it belongs to
    /// another account already; whose account it is, is told by mail.
    ///
    /// # Errors
    /// `Field` on the address; `TooMany` where it has got too many mails.
    pub async fn ask_email_change(&self, user: &User, email: &str, from: &Origin) -> Result<()> {
        let email = Email::parse(email)?;
        if email.as_str() == user.email {
            return Err(Error::field("email", "This is the address you have."));
        }
        self.throttle.sign_up(&ClientNetwork::of(&from.address))?;
        if !self.throttle.mail_to(email.as_str()) {
            return Err(Error::field(
                "email",
                "This address has got several mails from us. Try again in an hour.",
            ));
        }
        let (token, code) = (Token::new("")?, Code::new()?);
        let mut tx = self.db.global().await?;
        let taken = store::user_by_email(&mut tx, email.as_str()).await?;
        let taken = taken.filter(|other| other.verified_at.is_some());
        store::end_email_changes(&mut tx, user.id).await?;
        // For a taken address nobody gets to know the token or the code.
        let mac = self.codes.mac(&token.hash, code.expose());
        let expires_at = OffsetDateTime::now_utc() + CONFIRM_LIFE;
        store::insert_email_change(&mut tx, &token.hash, user.id, email.as_str(), &mac, expires_at).await?;
        tx.commit().await?;
        let mail = match taken {
            Some(other) => {
                let login = format!("{}/login", self.console_origin);
                Message::already_registered(&other.email, &other.name, login)?
            }
            None => {
                let secret = token.secret.expose_secret();
                Message::new_address(AddressMail {
                    to: email.as_str(),
                    name: &user.name,
                    other: &user.email,
                    code: &code.in_groups(),
                    link: format!("{}/account/email/confirm?token={secret}", self.console_origin),
                })?
            }
        };
        self.mailer.send(mail);
        Ok(())
    }

    /// When the password was chosen; nothing for who has none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn password_since(&self, user: &User) -> Result<Option<OffsetDateTime>> {
        store::password_set_at(&mut self.db.global().await?, user.id).await
    }

    /// The address that waits to be confirmed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_email(&self, user: &User) -> Result<Option<PendingEmail>> {
        store::pending_email(&mut self.db.global().await?, user.id).await
    }

    /// # Errors
    /// When the database fails.
    pub async fn cancel_email_change(&self, user: &User) -> Result<()> {
        let mut tx = self.db.global().await?;
        store::end_email_changes(&mut tx, user.id).await?;
        Ok(tx.commit().await?)
    }

    /// Confirms the new address with the code of the mail.
    ///
    /// # Errors
    /// `Field` on `code` when it does not fit, which ends the change after five tries; when the address has been taken meanwhile.
    pub async fn confirm_email_by_code(&self, user: &User, code: &str, from: &Origin) -> Result<()> {
        let mut tx = self.db.global().await?;
        let tried = store::try_email_code(&mut tx, user.id).await?;
        // A try counts whatever comes of it.
        tx.commit().await?;
        let Some((hash, mac)) = tried else {
            return Err(Error::field("code", "There were too many tries. Ask for a new code."));
        };
        if !self.codes.fits(&hash, code, &mac) {
            return Err(Error::field("code", "This is not the code of the newest mail."));
        }
        self.apply_email(user, &hash, from).await
    }

    /// Whose address a link would change, while it is good.
    ///
    /// # Errors
    /// `Gone` for a link that is dead.
    pub async fn email_change(&self, token: &str) -> Result<EmailChange> {
        let found = store::open_email_change(&mut self.db.global().await?, &token::hash(token)).await?;
        found.ok_or_else(dead)
    }

    /// Confirms the new address with the link of the mail, for the person who asked for it.
    ///
    /// # Errors
    /// `Gone` for a link that is dead or somebody else's; when the address has been taken meanwhile.
    pub async fn confirm_email_by_link(&self, user: &User, token: &str, from: &Origin) -> Result<()> {
        self.apply_email(user, &token::hash(token), from).await
    }

    async fn apply_email(&self, user: &User, hash: &[u8], from: &Origin) -> Result<()> {
        let undo = Token::new("")?;
        let mut tx = self.db.global().await?;
        let change = store::use_email_change(&mut tx, hash).await?;
        let change = change.filter(|change| change.user_id == user.id).ok_or_else(dead)?;
        // A sign-up that nobody confirmed does not keep the address from its owner.
        store::delete_unconfirmed(&mut tx, &change.email).await?;
        store::set_email(&mut tx, user.id, &change.email).await.on_constraint("users_email_key", || {
            Error::field("code", "This address has an account of its own by now. Choose another one.")
        })?;
        let until = OffsetDateTime::now_utc() + UNDO_LIFE;
        store::insert_undo(&mut tx, &undo.hash, user.id, &user.email, until).await?;
        store::end_resets(&mut tx, user.id).await?;
        let about = format!("{} to {}", user.email, change.email);
        events::record(&mut tx, user.id, Kind::EmailChanged, from, &about).await?;
        tx.commit().await?;
        let link = undo.secret.expose_secret();
        self.mailer.send(Message::address_changed(AddressMail {
            to: &user.email,
            name: &user.name,
            other: &change.email,
            code: "",
            link: format!("{}/account/email/undo?token={link}", self.console_origin),
        })?);
        members::renew_workspaces_of(&self.db, user.id).await
    }
}

fn dead() -> Error {
    Error::Gone("This link has been used or is too old.")
}
