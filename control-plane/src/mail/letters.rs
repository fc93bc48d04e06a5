//! The mails people get: each with its subject, HTML and a text equal in content.

use askama::Template;

/// A mail ready to be sent.
#[derive(Clone, Debug)]
pub struct Letter {
    pub subject: String,
    pub html: String,
    pub text: String,
}

/// Confirms an address after sign-up.
#[derive(Template)]
#[template(path = "mail/verify.html")]
pub struct Verify {
    pub name: String,
    pub link: String,
    /// `1234 5678`.
    pub code: String,
    /// How long the link works: `one hour`.
    pub valid_for: String,
    /// When it was asked for, from `exact`.
    pub asked_at: String,
    /// The console's origin.
    pub console_url: String,
}

#[derive(Template)]
#[template(path = "mail/verify.txt")]
struct VerifyText<'a> {
    m: &'a Verify,
}

/// Tells the owner of a known address that somebody tried to sign up with it.
#[derive(Template)]
#[template(path = "mail/already.html")]
pub struct AlreadyMember {
    pub name: String,
    /// The login page.
    pub link: String,
    pub asked_at: String,
    pub console_url: String,
}

#[derive(Template)]
#[template(path = "mail/already.txt")]
struct AlreadyText<'a> {
    m: &'a AlreadyMember,
}

/// Invites somebody into a workspace.
#[derive(Template)]
#[template(path = "mail/invitation.html")]
pub struct Invitation {
    pub workspace: String,
    /// `an admin`, `a member`, with its article.
    pub role: String,
    /// Who invites, by name and address.
    pub by_name: String,
    pub by_email: String,
    pub link: String,
    /// How long the link works: `seven days`.
    pub valid_for: String,
    pub asked_at: String,
    pub console_url: String,
}

#[derive(Template)]
#[template(path = "mail/invitation.txt")]
struct InvitationText<'a> {
    m: &'a Invitation,
}

/// What the mails about an account's address and password share.
pub struct Address {
    pub name: String,
    /// The account's other address, if any.
    pub other: String,
    /// `1234 5678`; empty where there is none.
    pub code: String,
    pub link: String,
    pub asked_at: String,
    pub console_url: String,
}

macro_rules! address_letter {
    ($(#[$about:meta])* $name:ident, $text:ident, $html_path:literal, $text_path:literal, $subject:literal) => {
        $(#[$about])*
        #[derive(Template)]
        #[template(path = $html_path)]
        pub struct $name {
            pub m: Address,
        }

        #[derive(Template)]
        #[template(path = $text_path)]
        struct $text<'a> {
            m: &'a Address,
        }

        impl $name {
            /// # Errors
            /// When the template cannot be written, which is a fault of ours.
            pub fn letter(&self) -> askama::Result<Letter> {
                let text = $text { m: &self.m }.render()?;
                Ok(Letter { subject: $subject.to_owned(), html: self.render()?, text })
            }
        }
    };
}

address_letter!(
    /// Confirms the new address of an account.
    NewAddress, NewAddressText, "mail/new_address.html", "mail/new_address.txt", "Confirm your new address for ToolMesh"
);
address_letter!(
    /// Tells the old address that the account has another one now.
    AddressChanged, AddressChangedText, "mail/address_changed.html", "mail/address_changed.txt",
    "The address of your ToolMesh account was changed"
);
address_letter!(
    /// Leads to a new password.
    Reset, ResetText, "mail/reset.html", "mail/reset.txt", "Set a new password for ToolMesh"
);

/// Tells a person of something that happened to their account.
#[derive(Template)]
#[template(path = "mail/notice.html")]
pub struct SecurityNotice {
    pub name: String,
    pub what: String,
    pub device: String,
    pub address: String,
    /// The page with the sessions.
    pub link: String,
    pub asked_at: String,
    pub console_url: String,
}

#[derive(Template)]
#[template(path = "mail/notice.txt")]
struct NoticeText<'a> {
    m: &'a SecurityNotice,
}

/// Asks the owner of an address whether somebody who logged in elsewhere is them.
#[derive(Template)]
#[template(path = "mail/link_identity.html")]
pub struct LinkIdentity {
    pub name: String,
    /// `Google`.
    pub provider: String,
    pub link: String,
    pub valid_for: String,
    pub asked_at: String,
    pub console_url: String,
}

#[derive(Template)]
#[template(path = "mail/link_identity.txt")]
struct LinkIdentityText<'a> {
    m: &'a LinkIdentity,
}

impl LinkIdentity {
    /// # Errors
    /// When the template cannot be written, which is a fault of ours.
    pub fn letter(&self) -> askama::Result<Letter> {
        let subject = "Confirm that you are logging in to ToolMesh".to_owned();
        Ok(Letter { subject, html: self.render()?, text: LinkIdentityText { m: self }.render()? })
    }
}

impl Verify {
    /// # Errors
    /// When the template cannot be written, which is a fault of ours.
    pub fn letter(&self) -> askama::Result<Letter> {
        let subject = "Confirm your address for ToolMesh".to_owned();
        Ok(Letter { subject, html: self.render()?, text: VerifyText { m: self }.render()? })
    }
}

impl AlreadyMember {
    /// # Errors
    /// When the template cannot be written, which is a fault of ours.
    pub fn letter(&self) -> askama::Result<Letter> {
        let subject = "You already have a ToolMesh account".to_owned();
        Ok(Letter { subject, html: self.render()?, text: AlreadyText { m: self }.render()? })
    }
}

impl Invitation {
    /// # Errors
    /// When the template cannot be written, which is a fault of ours.
    pub fn letter(&self) -> askama::Result<Letter> {
        let subject = format!("{} invites you to {} on ToolMesh", self.by_name, self.workspace);
        Ok(Letter { subject, html: self.render()?, text: InvitationText { m: self }.render()? })
    }
}

impl SecurityNotice {
    /// # Errors
    /// When the template cannot be written, which is a fault of ours.
    pub fn letter(&self) -> askama::Result<Letter> {
        let subject = format!("{} (your ToolMesh account)", self.what);
        Ok(Letter { subject, html: self.render()?, text: NoticeText { m: self }.render()? })
    }
}
