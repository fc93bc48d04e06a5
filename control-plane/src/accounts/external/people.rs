//! From who a provider says somebody is to an account of ours.
//!
//! A known identity is its account. An address that nobody has yet, verified by the provider, makes an account. Everything
//! between needs the owner of the account or of the address to say so: by logging in as before, or by a link in a mail.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use toolmesh_proto::ids::{TenantId, UserId};
use uuid::Uuid;

use super::providers::Provider;
use super::{Browser, External, Profile, store};
use crate::accounts::{self, Email, User};
use crate::db::GlobalTx;
use crate::error::{Error, OnConstraint as _, Result};
use crate::mail::Message;

/// How long somebody may take to say that an account is theirs.
const TICKET_LIFE: Duration = Duration::minutes(15);

/// How long the link in the mail works.
const MAIL_LIFE: Duration = Duration::minutes(30);

/// What came of a login at a provider.
pub enum Arrival {
    /// It is this account's.
    Known(User),
    /// It needs a word from the owner; the ticket remembers whose.
    Confirm(Ticket),
}

/// A login at a provider that waits for the owner's word. Carried, sealed, by the browser that it belongs to.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ticket {
    pub provider: Provider,
    pub email: String,
    /// Whether the provider has verified the address; then it is known that there is an account with it.
    pub verified: bool,
    pub next: String,
    /// What the provider calls them.
    pub label: String,
    issuer: String,
    subject: String,
    name: String,
    browser: String,
    ends: i64,
}

/// A way in, as its owner sees it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Identity {
    /// None for a company's, which the company manages.
    pub id: Option<Uuid>,
    /// `google`, `microsoft`, `github` or `company`.
    pub provider: String,
    pub label: String,
    pub linked_at: OffsetDateTime,
    pub last_used_at: Option<OffsetDateTime>,
}

impl External {
    /// Finds or makes the account of somebody who came back from one of the deployment's providers.
    ///
    /// # Errors
    /// `Refused` where the provider gave no address.
    pub async fn arrive(
        &self,
        provider: Provider,
        profile: Profile,
        next: &str,
        browser: &Browser,
    ) -> Result<Arrival> {
        let mut tx = self.db.global().await?;
        if let Some(user) = store::use_identity(&mut tx, &profile.issuer, &profile.subject).await? {
            tx.commit().await?;
            return Ok(Arrival::Known(user));
        }
        let email = address(&profile)?;
        drop(tx);
        let ticket = new_ticket(provider, &email, profile, next, browser);
        // What the provider has not verified may be anybody's address: its owner is asked by mail.
        if !ticket.verified {
            return Ok(Arrival::Confirm(ticket));
        }
        Ok(match self.admit(&ticket, false).await? {
            Some(user) => Arrival::Known(user),
            None => Arrival::Confirm(ticket),
        })
    }

    /// The same for a company's provider; what it may say is judged in `company`.
    ///
    /// # Errors
    /// `Refused` for somebody who is not the company's.
    pub async fn arrive_at_company(
        &self,
        tenant: TenantId,
        profile: Profile,
        next: &str,
        browser: &Browser,
    ) -> Result<Arrival> {
        let mut tx = self.db.tenant(tenant).await?;
        let known = store::use_company_identity(&mut tx, &profile.issuer, &profile.subject).await?;
        tx.commit().await?;
        let email = address(&profile)?;
        let admission = self.judge(tenant, &profile).await?;
        if let Some(problem) = admission.problem {
            return Err(Error::Refused(problem));
        }
        let ticket = new_ticket(Provider::Company(tenant), &email, profile, next, browser);
        let user = match known {
            Some(user) => user,
            None => match self.admit(&ticket, false).await? {
                Some(user) => user,
                None => return Ok(Arrival::Confirm(ticket)),
            },
        };
        // The company speaks for its own domains only, and an account may have moved to an address elsewhere.
        if !self.speaks_for(tenant, &user.email).await? {
            return Err(Error::Refused(format!(
                "Your account's address is now {}, for which this company does not speak. Log in another way.",
                user.email
            )));
        }
        self.settle(tenant, user.id, &admission.groups).await?;
        Ok(Arrival::Known(user))
    }

    /// Seals a ticket for the browser to carry.
    ///
    /// # Errors
    /// Only if the system has no randomness.
    pub fn ticket(&self, ticket: &Ticket) -> Result<String> {
        self.tickets.seal(ticket)
    }

    /// The ticket that this browser carries.
    ///
    /// # Errors
    /// `Gone` for one that is another browser's or too old.
    pub fn open_ticket(&self, text: &str, browser: &Browser) -> Result<Ticket> {
        good(self.tickets.open(text), browser)
    }

    /// Sends a link to the address that the provider named. The same whether there is an account with it or not.
    ///
    /// # Errors
    /// `TooMany` where the address got several already.
    pub fn mail_ticket(&self, ticket: &Ticket) -> Result<()> {
        if self.letters.check_key(&ticket.email).is_err() {
            return Err(Error::TooMany(900));
        }
        let ends = (OffsetDateTime::now_utc() + MAIL_LIFE).unix_timestamp();
        let text = self.mailed.seal(&Ticket { ends, ..ticket.clone() })?;
        let link = format!("{}/login/link/confirm?ticket={text}", self.console_origin);
        let who = if ticket.name.trim().is_empty() { &ticket.email } else { &ticket.name };
        self.mailer.send(Message::link_identity(&ticket.email, who, ticket.provider.name(), link)?);
        Ok(())
    }

    /// The ticket of a link in a mail, opened in the browser that began.
    ///
    /// # Errors
    /// `Gone` for a link of another browser, or one that is too old.
    pub fn open_mailed(&self, text: &str, browser: &Browser) -> Result<Ticket> {
        good(self.mailed.open(text), browser)
    }

    /// Uses a mailed link: who opens it has the address, so the account with it is theirs, or comes to be.
    ///
    /// # Errors
    /// `Gone` when it was used before.
    pub async fn use_mailed(&self, text: &str, browser: &Browser) -> Result<(Ticket, User)> {
        let ticket = self.open_mailed(text, browser)?;
        let user = self.admit(&ticket, true).await?.ok_or_else(used)?;
        Ok((ticket, user))
    }

    /// Makes the ticket's identity that of the account with its address, which is proven: by the provider or by mail. The
    /// account comes to be where there is none. One that is confirmed is taken only where its owner `agrees`; None otherwise.
    async fn admit(&self, ticket: &Ticket, agrees: bool) -> Result<Option<User>> {
        let name = accounts::person_name(&short(&ticket.name, 80)).unwrap_or_else(|_| {
            ticket.email.split('@').next().unwrap_or("New member").chars().take(80).collect()
        });
        let mut tx = self.db.global().await?;
        let user = match store::new_confirmed_user(&mut tx, &ticket.email, &name).await? {
            Some(user) => user,
            None if agrees => store::user_by_email(&mut tx, &ticket.email).await?.ok_or_else(used)?,
            None => return Ok(None),
        };
        tie_in(&mut tx, ticket, user.id).await?;
        tx.commit().await?;
        if let Provider::Company(tenant) = ticket.provider {
            self.tie_to_company(tenant, ticket, user.id).await?;
        }
        Ok(Some(user))
    }

    /// Links the ticket's identity to the account of somebody who has logged in as before.
    ///
    /// # Errors
    /// `Refused` when it is another account's ticket or identity.
    pub async fn use_ticket(&self, ticket: &Ticket, user: &User) -> Result<()> {
        if user.email != ticket.email {
            return Err(Error::Refused(format!(
                "This is for the account {}. Log in with that one to link it.",
                ticket.email
            )));
        }
        if let Provider::Company(tenant) = ticket.provider {
            return self.tie_to_company(tenant, ticket, user.id).await;
        }
        let mut tx = self.db.global().await?;
        tie_in(&mut tx, ticket, user.id).await?;
        Ok(tx.commit().await?)
    }

    async fn tie_to_company(&self, tenant: TenantId, ticket: &Ticket, user: UserId) -> Result<()> {
        let mut tx = self.db.tenant(tenant).await?;
        store::insert_company_identity(&mut tx, &ticket.issuer, &ticket.subject, user, &ticket.label)
            .await
            .on_constraint("company_identities_pkey", used)?;
        Ok(tx.commit().await?)
    }

    /// Makes an identity one of an account's, at the wish of who is logged in.
    ///
    /// # Errors
    /// `Refused` when it is an account's already.
    pub async fn link(&self, provider: Provider, profile: &Profile, user: UserId) -> Result<()> {
        let mut tx = self.db.global().await?;
        let row = store::NewIdentity {
            user,
            provider: provider.key(),
            issuer: &profile.issuer,
            subject: &profile.subject,
            label: &short(&profile.label, 320),
        };
        store::insert_identity(&mut tx, &row)
            .await
            .on_constraint("external_identities_subject_key", || {
                Error::Refused(format!("This {provider} account is linked to an account already."))
            })?;
        Ok(tx.commit().await?)
    }

    /// The ways in that somebody has elsewhere.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn identities(&self, user: UserId) -> Result<Vec<Identity>> {
        let mut tx = self.db.user(user).await?;
        store::identities(&mut tx).await
    }

    /// Whether somebody can log in with a password.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_password(&self, user: UserId) -> Result<bool> {
        let mut tx = self.db.global().await?;
        store::has_password(&mut tx, user).await
    }

    /// Forgets an identity. Never the last way in.
    ///
    /// # Errors
    /// `Refused` for the last way in; `NotFound` for what is not theirs.
    pub async fn unlink(&self, user: UserId, identity: Uuid, has_other_way: bool) -> Result<()> {
        let mut tx = self.db.global().await?;
        // Two at once must not each leave the other as the last.
        store::lock_user(&mut tx, user).await?;
        let left = store::count_identities(&mut tx, user).await? - 1;
        let other = has_other_way || store::has_password(&mut tx, user).await?;
        if left < 1 && !other {
            let message =
                "This is the only way you can log in. Set a password first, or link another account.";
            return Err(Error::Refused(message.to_owned()));
        }
        if !store::delete_identity(&mut tx, user, identity).await? {
            return Err(Error::NotFound);
        }
        Ok(tx.commit().await?)
    }
}

/// Ties an identity of one of the deployment's providers; a company's is kept with the company.
async fn tie_in(tx: &mut GlobalTx, ticket: &Ticket, user: UserId) -> Result<()> {
    if let Provider::Company(_) = ticket.provider {
        return Ok(());
    }
    let row = store::NewIdentity {
        user,
        provider: ticket.provider.key(),
        issuer: &ticket.issuer,
        subject: &ticket.subject,
        label: &ticket.label,
    };
    store::insert_identity(tx, &row).await.on_constraint("external_identities_subject_key", used)
}

fn new_ticket(provider: Provider, email: &Email, profile: Profile, next: &str, browser: &Browser) -> Ticket {
    Ticket {
        provider,
        email: email.as_str().to_owned(),
        verified: profile.email_verified,
        next: next.to_owned(),
        label: short(&profile.label, 320),
        issuer: profile.issuer,
        subject: profile.subject,
        name: short(&profile.name, 80),
        browser: browser.text(),
        ends: (OffsetDateTime::now_utc() + TICKET_LIFE).unix_timestamp(),
    }
}

fn good(ticket: Option<Ticket>, browser: &Browser) -> Result<Ticket> {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let good = ticket.filter(|ticket| ticket.ends > now && ticket.browser == browser.text());
    good.ok_or(Error::Gone(
        "This link belongs to another browser, was used already, or is too old. Begin again on the login page.",
    ))
}

fn used() -> Error {
    Error::Gone("This link was used already. Log in.")
}

pub(super) fn address(profile: &Profile) -> Result<Email> {
    let none = || {
        Error::Refused(
            "The provider did not give an e-mail address. Give your account there a verified one and try again."
                .to_owned(),
        )
    };
    Email::parse(profile.email.as_deref().ok_or_else(none)?).map_err(|_| none())
}

fn short(text: &str, most: usize) -> String {
    text.trim().chars().filter(|c| !accounts::is_invisible(*c)).take(most).collect()
}
