//! The messages there are. Each has one purpose, one link, and a text part equal in content to the HTML.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::letters::{self, Letter};
use crate::error::{Error, Result};

/// A message, ready to be sent.
pub struct Message {
    /// For the log, which never sees content.
    pub kind: &'static str,
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// An invitation, as its mail tells it.
pub struct InvitationMail<'a> {
    pub to: &'a str,
    pub workspace: &'a str,
    /// With its article: `an admin`.
    pub role: &'a str,
    pub by_name: &'a str,
    pub by_email: &'a str,
    pub link: String,
}

/// A mail about an address, with a link and perhaps a code.
pub struct AddressMail<'a> {
    pub to: &'a str,
    pub name: &'a str,
    /// The account's other address: the old one in a mail to the new, and the other way round. Empty where there is none.
    pub other: &'a str,
    /// As people read it: `1234 5678`. Empty where there is none.
    pub code: &'a str,
    pub link: String,
}

impl From<AddressMail<'_>> for letters::Address {
    fn from(mail: AddressMail<'_>) -> Self {
        Self {
            name: mail.name.to_owned(),
            other: mail.other.to_owned(),
            code: mail.code.to_owned(),
            console_url: origin(&mail.link),
            link: mail.link,
            asked_at: now(),
        }
    }
}

/// Something that happened to an account, as its mail tells it.
pub struct Notice<'a> {
    pub to: &'a str,
    pub name: &'a str,
    /// `Password changed`.
    pub what: &'a str,
    /// In words: `Firefox on Windows`.
    pub device: &'a str,
    pub address: &'a str,
    /// Where the person sees their sessions.
    pub link: String,
}

impl Message {
    /// Confirms an address after a sign-up.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn verify(mail: AddressMail<'_>) -> Result<Self> {
        let letter = letters::Verify {
            name: mail.name.to_owned(),
            code: mail.code.to_owned(),
            console_url: origin(&mail.link),
            link: mail.link,
            valid_for: "24 hours".to_owned(),
            asked_at: now(),
        };
        Self::new("verify", mail.to, letter.letter())
    }

    /// Confirms the new address of an account.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn new_address(mail: AddressMail<'_>) -> Result<Self> {
        let to = mail.to.to_owned();
        Self::new("new_address", &to, letters::NewAddress { m: mail.into() }.letter())
    }

    /// Tells the old address of an account that it has another one now, with the way back.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn address_changed(mail: AddressMail<'_>) -> Result<Self> {
        let to = mail.to.to_owned();
        Self::new("address_changed", &to, letters::AddressChanged { m: mail.into() }.letter())
    }

    /// Leads to a new password.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn reset(to: &str, name: &str, link: String) -> Result<Self> {
        let mail = AddressMail { to, name, other: "", code: "", link };
        Self::new("reset", to, letters::Reset { m: mail.into() }.letter())
    }

    /// Tells the owner of a known address that somebody signed up with it.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn already_registered(to: &str, name: &str, link: String) -> Result<Self> {
        let letter = letters::AlreadyMember {
            name: name.to_owned(),
            console_url: origin(&link),
            link,
            asked_at: now(),
        };
        Self::new("already_registered", to, letter.letter())
    }

    /// Invites into a workspace.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn invitation(mail: InvitationMail<'_>) -> Result<Self> {
        let letter = letters::Invitation {
            workspace: mail.workspace.to_owned(),
            role: mail.role.to_owned(),
            by_name: mail.by_name.to_owned(),
            by_email: mail.by_email.to_owned(),
            console_url: origin(&mail.link),
            link: mail.link,
            valid_for: "seven days".to_owned(),
            asked_at: now(),
        };
        Self::new("invitation", mail.to, letter.letter())
    }

    /// Asks the owner of an address whether a login elsewhere was theirs.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn link_identity(to: &str, name: &str, provider: &str, link: String) -> Result<Self> {
        let letter = letters::LinkIdentity {
            name: name.to_owned(),
            provider: provider.to_owned(),
            console_url: origin(&link),
            link,
            valid_for: "30 minutes".to_owned(),
            asked_at: now(),
        };
        Self::new("link_identity", to, letter.letter())
    }

    /// Tells a person of something that happened to their account.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn notice(mail: Notice<'_>) -> Result<Self> {
        let letter = letters::SecurityNotice {
            name: mail.name.to_owned(),
            what: mail.what.to_owned(),
            device: mail.device.to_owned(),
            address: mail.address.to_owned(),
            console_url: origin(&mail.link),
            link: mail.link,
            asked_at: now(),
        };
        Self::new("notice", mail.to, letter.letter())
    }

    pub(super) fn new(kind: &'static str, to: &str, letter: askama::Result<Letter>) -> Result<Self> {
        let letter = letter.map_err(Error::internal)?;
        Ok(Self { kind, to: to.to_owned(), subject: letter.subject, text: letter.text, html: letter.html })
    }
}

pub(super) fn origin(link: &str) -> String {
    url::Url::parse(link).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

pub(super) fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc2822).unwrap_or_default()
}
