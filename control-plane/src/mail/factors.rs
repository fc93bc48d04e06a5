//! Mails about second factors: what somebody changed on an account, and that a workspace asks for one.

use askama::Template;
use time::OffsetDateTime;
use time::macros::format_description;

use super::letters::Letter;
use super::messages::{Message, now, origin};
use crate::error::Result;

/// What happened to somebody's second factors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactorChange {
    AppAdded,
    AppRemoved,
    PasskeyAdded(String),
    PasskeyRemoved(String),
    CodesRenewed,
    CodeUsed {
        left: i64,
    },
    /// By an operator.
    Reset,
}

impl FactorChange {
    /// The subject and what happened, in a sentence.
    fn words(&self) -> (&'static str, String) {
        match self {
            Self::AppAdded => (
                "An authenticator app was added to your account",
                "From now on your login asks for its code.".to_owned(),
            ),
            Self::AppRemoved => (
                "The authenticator app was removed from your account",
                "Its codes no longer work.".to_owned(),
            ),
            Self::PasskeyAdded(name) => (
                "A passkey was added to your account",
                format!("It is called “{name}” and can be used to log in without your password."),
            ),
            Self::PasskeyRemoved(name) => (
                "A passkey was removed from your account",
                format!("It was called “{name}” and can no longer be used to log in."),
            ),
            Self::CodesRenewed => {
                ("You have new recovery codes", "The codes you had before no longer work.".to_owned())
            }
            Self::CodeUsed { left } => (
                "A recovery code was used to log in",
                match left {
                    0 => "It was the last one. Make new codes soon.".to_owned(),
                    1 => "One code is left. Make new codes soon.".to_owned(),
                    left => format!("{left} codes are left."),
                },
            ),
            Self::Reset => (
                "Your second factor was reset",
                "Who runs this ToolMesh took your authenticator app, passkeys and recovery codes away. Log in with \
                 your password and add a new second factor."
                    .to_owned(),
            ),
        }
    }
}

/// Tells somebody what was changed on their account.
#[derive(Template)]
#[template(path = "mail/factor_changed.html")]
struct Changed {
    name: String,
    title: &'static str,
    what: String,
    link: String,
    at: String,
    console_url: String,
}

#[derive(Template)]
#[template(path = "mail/factor_changed.txt")]
struct ChangedText<'a> {
    m: &'a Changed,
}

/// Tells a member that their workspace asks for a second factor.
#[derive(Template)]
#[template(path = "mail/factor_asked.html")]
struct Asked {
    name: String,
    workspace: String,
    /// `1 December 2026`; `None` for at once.
    day: Option<String>,
    link: String,
    console_url: String,
}

#[derive(Template)]
#[template(path = "mail/factor_asked.txt")]
struct AskedText<'a> {
    m: &'a Asked,
}

impl Message {
    /// Tells somebody what was changed on their account.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn factor_changed(to: &str, name: &str, change: FactorChange, link: String) -> Result<Self> {
        let (title, what) = change.words();
        let letter =
            Changed { name: name.to_owned(), title, what, at: now(), console_url: origin(&link), link };
        Self::new("factor_changed", to, letter.letter())
    }

    /// Tells a member that their workspace asks for a second factor, from a day on or at once.
    ///
    /// # Errors
    /// When the template cannot be written.
    pub fn second_factor_asked(
        to: &str,
        name: &str,
        workspace: &str,
        from: Option<OffsetDateTime>,
        link: String,
    ) -> Result<Self> {
        let format = format_description!("[day padding:none] [month repr:long] [year]");
        let letter = Asked {
            name: name.to_owned(),
            workspace: workspace.to_owned(),
            day: from.and_then(|day| day.format(format).ok()),
            console_url: origin(&link),
            link,
        };
        Self::new("second_factor_asked", to, letter.letter())
    }
}

impl Changed {
    fn letter(&self) -> askama::Result<Letter> {
        let text = ChangedText { m: self }.render()?;
        Ok(Letter { subject: self.title.to_owned(), html: self.render()?, text })
    }
}

impl Asked {
    fn letter(&self) -> askama::Result<Letter> {
        let subject = format!("{} asks for a second factor", self.workspace);
        Ok(Letter { subject, html: self.render()?, text: AskedText { m: self }.render()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_says_what_was_changed_and_what_to_do() {
        let link = "https://app.example.com/account/security".to_owned();
        let change = FactorChange::PasskeyAdded("Phone <b>".to_owned());
        let mail = Message::factor_changed("ana@example.com", "Ana", change, link).unwrap();
        assert_eq!(mail.subject, "A passkey was added to your account");
        assert!(
            mail.text.contains("“Phone <b>”") && mail.text.contains("/account/security"),
            "{}",
            mail.text
        );
        assert!(!mail.html.contains("<b>"), "{}", mail.html);
    }

    #[test]
    fn a_member_learns_from_which_day_on_it_is_asked() {
        let from = time::macros::datetime!(2026-12-01 10:00 UTC);
        let make = |from| {
            let link = "https://app.example.com/account/security".to_owned();
            Message::second_factor_asked("ana@example.com", "Ana", "Acme", from, link).unwrap().text
        };
        assert!(make(Some(from)).contains("1 December 2026"));
        assert!(!make(None).contains("2026"));
    }
}
