//! Mails about somebody's place in a workspace: another role, suspension, removal, a workspace that is handed over.

use askama::Template;

use super::letters::Letter;
use super::messages::{Message, now};
use crate::error::Result;

/// What became of somebody in a workspace. Roles come with their article: `an admin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipNews<'a> {
    Role {
        now: &'a str,
        before: &'a str,
    },
    Suspended,
    LetIn,
    Removed,
    /// They are an owner now, and who was is an admin.
    GivenWorkspace,
    HandedOver {
        to: &'a str,
    },
}

/// Such news, as its mail tells it.
pub struct MembershipMail<'a> {
    pub to: &'a str,
    pub name: &'a str,
    pub workspace: &'a str,
    /// Name and address of who did it; `None` for the person themselves.
    pub by: Option<(&'a str, &'a str)>,
    pub news: MembershipNews<'a>,
    pub console_origin: &'a str,
}

#[derive(Template)]
#[template(path = "mail/membership.html")]
struct Membership {
    name: String,
    title: String,
    what: String,
    /// What follows from it.
    so: &'static str,
    by_oneself: bool,
    workspace: String,
    link: String,
    at: String,
    console_url: String,
}

#[derive(Template)]
#[template(path = "mail/membership.txt")]
struct MembershipText<'a> {
    m: &'a Membership,
}

impl MembershipMail<'_> {
    /// The subject, what happened, and what follows.
    fn words(&self) -> (String, String, &'static str) {
        let at = self.workspace;
        let by = self.by.map_or_else(|| "you".to_owned(), |(name, email)| format!("{name} ({email})"));
        match self.news {
            MembershipNews::Role { now, before } => (
                format!("You are now {now} of {at}"),
                format!("Until now you were {before}. Your role was changed by {by}"),
                "Apps that you have connected go on, and may do what you may do now.",
            ),
            MembershipNews::Suspended => (
                format!("Your access to {at} is suspended"),
                format!("It was suspended by {by}"),
                "Your API keys and connected apps do not work there until you are let in again. Nothing of yours is lost.",
            ),
            MembershipNews::LetIn => (
                format!("You are let in to {at} again"),
                format!("Your suspension was ended by {by}"),
                "Your API keys and connected apps work there as before.",
            ),
            MembershipNews::Removed => (
                format!("You are no longer a member of {at}"),
                format!("Your membership was ended by {by}"),
                "Your API keys and connected apps no longer work there.",
            ),
            MembershipNews::GivenWorkspace => (
                format!("You are now an owner of {at}"),
                format!("The workspace was handed over to you by {by}"),
                "You decide from now on who else is an owner.",
            ),
            MembershipNews::HandedOver { to } => (
                format!("You have handed {at} over"),
                format!("{to} was made an owner, and you an admin, by {by}"),
                "Only an owner can make you an owner again.",
            ),
        }
    }
}

impl Message {
    /// Tells somebody what became of them in a workspace.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn membership(mail: MembershipMail<'_>) -> Result<Self> {
        let (title, what, so) = mail.words();
        let page = if mail.by.is_none() { "account/sessions" } else { "workspaces" };
        let letter = Membership {
            name: mail.name.to_owned(),
            title,
            what,
            so,
            by_oneself: mail.by.is_none(),
            workspace: mail.workspace.to_owned(),
            link: format!("{}/{page}", mail.console_origin),
            at: now(),
            console_url: mail.console_origin.to_owned(),
        };
        Self::new("membership", mail.to, letter.letter())
    }
}

impl Membership {
    fn letter(&self) -> askama::Result<Letter> {
        let text = MembershipText { m: self }.render()?;
        Ok(Letter { subject: self.title.clone(), html: self.render()?, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail<'a>(news: MembershipNews<'a>, by: Option<(&'a str, &'a str)>) -> Message {
        let mail = MembershipMail {
            to: "bo@example.com",
            name: "Bo",
            workspace: "Acme <b>",
            by,
            news,
            console_origin: "https://app.example.com",
        };
        Message::membership(mail).unwrap()
    }

    #[test]
    fn who_was_changed_by_somebody_learns_what_by_whom_and_what_follows() {
        let by = Some(("Ana", "ana@example.com"));
        let told = mail(MembershipNews::Role { now: "an admin", before: "a member" }, by);
        assert_eq!(told.subject, "You are now an admin of Acme <b>");
        assert!(
            told.text.contains("a member") && told.text.contains("Ana (ana@example.com)"),
            "{}",
            told.text
        );
        assert!(!told.html.contains("<b>"), "{}", told.html);
        assert!(mail(MembershipNews::Suspended, by).text.contains("Nothing of yours is lost"));
    }

    #[test]
    fn who_did_it_themselves_is_told_what_to_do_if_they_did_not() {
        let told = mail(MembershipNews::HandedOver { to: "Bo" }, None);
        assert!(told.text.contains("by you") && told.text.contains("If it was not you"), "{}", told.text);
        assert!(told.text.contains("/account/sessions"), "{}", told.text);
    }
}
