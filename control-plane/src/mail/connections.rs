//! Mails about accounts at providers that connectors call with.

use askama::Template;

use super::letters::Letter;
use super::messages::{Message, now, origin};
use crate::error::Result;

/// A provider has ended a connection, as its mail tells it.
pub struct DisconnectedMail<'a> {
    pub to: &'a str,
    pub name: &'a str,
    pub workspace: &'a str,
    /// What people call the connector: `GitHub`.
    pub connector: &'a str,
    /// Whether it is the person's own account, or the workspace's.
    pub own: bool,
    /// Whether somebody logs in to connect it; otherwise a stored credential is replaced.
    pub by_consent: bool,
    /// The provider's error code.
    pub code: &'a str,
    /// The page where it is mended.
    pub link: String,
}

#[derive(Template)]
#[template(path = "mail/disconnected.html")]
struct Disconnected {
    name: String,
    title: String,
    what: String,
    so: &'static str,
    button: &'static str,
    workspace: String,
    link: String,
    at: String,
    console_url: String,
}

#[derive(Template)]
#[template(path = "mail/disconnected.txt")]
struct DisconnectedText<'a> {
    m: &'a Disconnected,
}

impl DisconnectedMail<'_> {
    fn what(&self) -> String {
        let whose = if self.own { "your account" } else { "the workspace's account" };
        format!(
            "{} no longer takes the connection to {whose} in {} ({}). This came to light",
            self.connector, self.workspace, self.code
        )
    }

    const fn so(&self) -> &'static str {
        match (self.own, self.by_consent) {
            (true, _) => "Your calls to it fail until you have connected it again.",
            (false, true) => "Everybody's calls to it fail until it is connected again.",
            (false, false) => "Everybody's calls to it fail until its credential is replaced.",
        }
    }
}

impl Message {
    /// Tells somebody that a provider has ended a connection which they can make again.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn disconnected(mail: DisconnectedMail<'_>) -> Result<Self> {
        let letter = Disconnected {
            name: mail.name.to_owned(),
            title: format!("Connect {} again in {}", mail.connector, mail.workspace),
            what: mail.what(),
            so: mail.so(),
            button: if mail.by_consent { "Connect it again" } else { "Replace the credential" },
            workspace: mail.workspace.to_owned(),
            console_url: origin(&mail.link),
            link: mail.link,
            at: now(),
        };
        Self::new("disconnected", mail.to, letter.letter())
    }
}

impl Disconnected {
    fn letter(&self) -> askama::Result<Letter> {
        let text = DisconnectedText { m: self }.render()?;
        Ok(Letter { subject: self.title.clone(), html: self.render()?, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(own: bool, by_consent: bool) -> Message {
        let link = "https://app.example.com/w/acme/connections/1".to_owned();
        let (to, name, workspace, connector) = ("ana@example.com", "Ana", "Acme <b>", "Gmail");
        let mail =
            DisconnectedMail { to, name, workspace, connector, own, by_consent, code: "invalid_grant", link };
        Message::disconnected(mail).unwrap()
    }

    #[test]
    fn who_can_mend_it_learns_whose_account_it_was_what_fails_and_where_to_go() {
        let own = mail(true, true);
        assert_eq!(own.subject, "Connect Gmail again in Acme <b>");
        for said in ["your account", "(invalid_grant)", "Your calls to it fail", "/w/acme/connections/1"] {
            assert!(own.text.contains(said), "{said}: {}", own.text);
        }
        assert!(!own.html.contains("<b>"), "{}", own.html);
        assert!(mail(false, true).text.contains("Everybody's calls to it fail until it is connected again"));
        assert!(mail(false, false).html.contains("Replace the credential"));
    }
}
