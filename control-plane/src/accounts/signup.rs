//! Signing up: an account that nobody has until the address is confirmed, by the link of a mail or by its code.

use secrecy::{ExposeSecret as _, SecretString};
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::UserId;

use super::codes::Code;
use super::throttle::ClientNetwork;
use super::{Accounts, Email, User, person_name, store};
use crate::credentials::token::{self, Token};
use crate::db::GlobalTx;
use crate::error::{Error, OnConstraint as _, Result};
use crate::mail::{AddressMail, Message};

/// Life of a link in a verification mail; the code beside it lives half an hour.
const VERIFY_LIFE: Duration = Duration::hours(24);

/// What a person types to sign up.
pub struct SignUp {
    pub name: String,
    pub email: String,
    pub password: SecretString,
}

/// Binds a verification mail to the browser that signed up; kept in its session. For an address that has an account already it
/// is one that no mail belongs to, so that both browsers hold the same.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LinkBinding(String);

impl LinkBinding {
    /// Whether this browser made the sign-up that the link belongs to.
    #[must_use]
    pub fn is_of(&self, link_token: &str) -> bool {
        self.fits(&token::hash(link_token))
    }

    fn of(hash: &[u8]) -> Self {
        Self(toolmesh_proto::hex(hash))
    }

    fn fits(&self, hash: &[u8]) -> bool {
        self.0 == toolmesh_proto::hex(hash)
    }

    fn hash(&self) -> Vec<u8> {
        let digit = |at: usize| self.0.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        (0..self.0.len()).step_by(2).map_while(digit).collect()
    }
}

impl Accounts {
    /// Makes an unconfirmed account, or another attempt at one, and sends its link and code; tells the owner of a confirmed
    /// address by mail. The person sees the same page either way. Answers what binds the mail to this browser.
    ///
    /// # Errors
    /// Names the field that has to be mended.
    pub async fn sign_up(&self, input: SignUp, address: &ClientNetwork) -> Result<LinkBinding> {
        self.throttle.sign_up(address)?;
        let email = Email::parse(&input.email)?;
        let name = person_name(&input.name)?;
        let context = vec![email.as_str().to_owned(), name.clone()];
        // Hashed before the look-up, so that a known address takes as long as a new one.
        let hash = self.passwords.accept(input.password, context).await?;
        let mut tx = self.db.global().await?;
        let known = store::user_by_email(&mut tx, email.as_str()).await?;
        if !self.throttle.mail_to(email.as_str()) {
            return nobodys();
        }
        if let Some(user) = known.as_ref().filter(|user| user.verified_at.is_some()) {
            self.tell_owner(user)?;
            return nobodys();
        }
        let id = known.map_or_else(UserId::new, |user| user.id);
        // Somebody who was faster has made the same account; this attempt is theirs to confirm then, or ours to repeat.
        store::insert_user(&mut tx, id, email.as_str(), &name, &hash)
            .await
            .on_constraint("users_email_key", || Error::Busy)?;
        let user = store::user_by_id(&mut tx, id).await?.ok_or(Error::Busy)?;
        let (mail, binding) = self.verification(&mut tx, &user, &name, &hash).await?;
        tx.commit().await?;
        self.mailer.send(mail);
        Ok(binding)
    }

    /// Sends the mail of a sign-up again, with a new link and a new code, for the browser that made it.
    ///
    /// # Errors
    /// `TooMany` from a network or to an address that has got too many.
    pub async fn send_again(
        &self,
        email: &str,
        browser: &LinkBinding,
        address: &ClientNetwork,
    ) -> Result<LinkBinding> {
        self.throttle.sign_up(address)?;
        let email = Email::parse(email)?;
        if !self.throttle.mail_to(email.as_str()) {
            return Err(Error::TooMany(900));
        }
        let mut tx = self.db.global().await?;
        if let Some(chosen) = store::sign_up_of(&mut tx, &browser.hash()).await? {
            let user = store::user_by_id(&mut tx, chosen.user_id).await?.ok_or(Error::Busy)?;
            let (mail, binding) =
                self.verification(&mut tx, &user, &chosen.name, &chosen.password_hash).await?;
            tx.commit().await?;
            self.mailer.send(mail);
            return Ok(binding);
        }
        let known = store::user_by_email(&mut tx, email.as_str()).await?;
        if let Some(user) = known.filter(|user| user.verified_at.is_some()) {
            self.tell_owner(&user)?;
        }
        nobodys()
    }

    /// Whom a verification link belongs to, while it is good.
    ///
    /// # Errors
    /// When the link is unknown, used or expired.
    pub async fn verifiable(&self, token: &str) -> Result<User> {
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
        let chosen = store::sign_up_of(&mut tx, &hash).await?.map(|chosen| chosen.password_hash);
        // No connection is held while the password is checked, which takes its time.
        drop(tx);
        if !browser.is_some_and(|binding| binding.fits(&hash)) {
            self.may_try(&user.email, address).await?;
            if !self.passwords.verify(password, chosen).await?.is_right() {
                return Err(Error::field("password", "This is not the password that was chosen at sign-up."));
            }
        }
        self.confirm(&hash).await
    }

    /// Confirms with the code of the mail, in the browser that signed up.
    ///
    /// # Errors
    /// `Field` on `code` when it does not fit; after five tries, or half an hour, none does. `TooMany` from a network that tries
    /// too often.
    pub async fn verify_code(
        &self,
        browser: &LinkBinding,
        code: &str,
        address: &ClientNetwork,
    ) -> Result<User> {
        // By sign-up, so that the codes of many cannot be tried from one network at once.
        self.throttle.login(&browser.0, address)?;
        let wrong = || {
            let message = "This is not the code of the newest mail, or it is too old. Five tries are possible, then ask for a new one.";
            Error::field("code", message)
        };
        let hash = browser.hash();
        let mut tx = self.db.global().await?;
        let mac = store::try_sign_up_code(&mut tx, &hash).await?;
        // A try counts whatever comes of it.
        tx.commit().await?;
        if !mac.is_some_and(|mac| self.codes.fits(&hash, code, &mac)) {
            return Err(wrong());
        }
        self.confirm(&hash).await
    }

    async fn confirm(&self, hash: &[u8]) -> Result<User> {
        let mut tx = self.db.global().await?;
        let user = store::use_email_token(&mut tx, hash).await?.ok_or_else(dead_link)?;
        tx.commit().await?;
        self.user(user).await
    }

    fn tell_owner(&self, user: &User) -> Result<()> {
        let login = format!("{}/login", self.console_origin);
        self.mailer.send(Message::already_registered(&user.email, &user.name, login)?);
        Ok(())
    }

    /// A link and a code for a sign-up, in a mail that is sent when the transaction is through.
    pub(super) async fn verification(
        &self,
        tx: &mut GlobalTx,
        user: &User,
        name: &str,
        password_hash: &str,
    ) -> Result<(Message, LinkBinding)> {
        let (token, code) = (Token::new("")?, Code::new()?);
        let expires_at = OffsetDateTime::now_utc() + VERIFY_LIFE;
        let mac = self.codes.mac(&token.hash, code.expose());
        store::insert_email_token(tx, &token.hash, user.id, (name, password_hash), &mac, expires_at).await?;
        let mail = Message::verify(AddressMail {
            to: &user.email,
            name,
            other: "",
            code: &code.in_groups(),
            link: format!("{}/verify?token={}", self.console_origin, token.secret.expose_secret()),
        })?;
        Ok((mail, LinkBinding::of(&token.hash)))
    }
}

/// A binding that belongs to no mail.
fn nobodys() -> Result<LinkBinding> {
    Ok(LinkBinding::of(&Token::new("")?.hash))
}

fn dead_link() -> Error {
    Error::Gone("This link has been used or has expired. Log in, or sign up again to get a new one.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_leads_back_to_the_mail_it_was_made_for() {
        let token = Token::new("").unwrap();
        let binding = LinkBinding::of(&token.hash);
        assert_eq!(binding.hash(), token.hash);
        assert!(binding.is_of(token.secret.expose_secret()) && !binding.is_of("another"));
        assert!(LinkBinding("zz".into()).hash().is_empty());
    }
}
