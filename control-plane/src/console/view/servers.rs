//! Other MCP servers: adding one, what it offers, and what of that waits for somebody to look at it.

use askama::Template;

use super::own::LineDiff;
use super::parts::{Access, Choice, Field, Moment};
use super::shell::Shell;

/// GET and POST /w/{slug}/servers/new.
#[derive(Template)]
#[template(path = "server_new.html")]
pub struct ServerNewPage {
    pub shell: Shell,
    /// The name here, which prefixes the tools' names.
    pub name: Field,
    pub url: Field,
    /// `none`, `bearer`, `header`.
    pub authentication: Vec<Choice>,
    /// The name of the header that carries the credential.
    pub header: Field,
    /// Never printed back.
    pub credential: Field,
    /// Further headers.
    pub more: Vec<HeaderFields>,
}

/// A row for a header and its value.
#[derive(Clone, Debug)]
pub struct HeaderFields {
    /// Which row it is, from 1.
    pub number: usize,
    /// The form's names of the two.
    pub header_key: String,
    pub value_key: String,
    pub header: Field,
    /// Never printed back.
    pub value: Field,
    /// A value is stored for it.
    pub stored: bool,
}

impl HeaderFields {
    /// What to say below the value.
    #[must_use]
    pub const fn value_help(&self) -> &'static str {
        if self.stored { "One is stored. Leave this empty to keep it." } else { "" }
    }

    /// Whether somebody has begun with it, so that it is in sight.
    #[must_use]
    pub const fn begun(&self) -> bool {
        !self.header.value.is_empty() || self.header.error.is_some() || self.value.error.is_some()
    }
}

impl ServerNewPage {
    /// Whether the further headers stand open.
    #[must_use]
    pub fn more_begun(&self) -> bool {
        self.more.iter().any(HeaderFields::begun)
    }

    /// What a way of authenticating means, in a sentence.
    #[must_use]
    pub fn meaning(&self, value: &str) -> &'static str {
        match value {
            "bearer" => "Sent as Authorization: Bearer with every request.",
            "header" => "A key in a header of the server's own, or several.",
            "login" => "Where to log in is found at the server. Calls of all members use one account.",
            "own-login" => {
                "Calls use the account of whoever calls. You connect yours first, to see what it offers."
            }
            _ => "The server is open to whoever reaches it.",
        }
    }
}

/// One respect in which a definition has changed.
#[derive(Clone, Debug)]
pub struct PartView {
    pub what: String,
    pub before: String,
    pub after: String,
    /// Line by line, where it is JSON.
    pub lines: Option<LineDiff>,
}

/// A definition that is to be decided on.
#[derive(Clone, Debug)]
pub struct DefinitionRow {
    pub key: String,
    /// `New`, `Changed`, `Renamed`, `Gone`, `Not wanted`.
    pub state: &'static str,
    pub tone: &'static str,
    pub name: String,
    pub renamed_from: Option<String>,
    pub title: String,
    pub description: String,
    /// What was found suspicious, a sentence each.
    pub flags: Vec<String>,
    /// Of tools: the class, and those that may be chosen.
    pub access: Option<Access>,
    pub classes: Vec<Choice>,
    pub picked: bool,
    pub parts: Vec<PartView>,
    pub since: Moment,
    /// The whole definition, to be read.
    pub json: String,
}

/// Definitions of one kind.
#[derive(Clone, Debug)]
pub struct DefinitionGroup {
    /// `Tools`.
    pub title: &'static str,
    pub rows: Vec<DefinitionRow>,
}

/// A prompt, resource, template or the instructions, with its switch.
#[derive(Clone, Debug)]
pub struct UsedRow {
    pub kind: &'static str,
    pub name: String,
    pub title: String,
    pub description: String,
    pub flags: Vec<String>,
    pub on: bool,
}

/// What is in use of one kind.
#[derive(Clone, Debug)]
pub struct UsedGroup {
    pub title: &'static str,
    pub rows: Vec<UsedRow>,
}

/// How a server fares on one node.
#[derive(Clone, Debug)]
pub struct NodeFares {
    pub node: String,
    pub word: &'static str,
    pub tone: &'static str,
    pub detail: String,
    pub since: Moment,
}

/// What is known of a server.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// What it calls itself, with its version.
    pub called: String,
    /// `Streamable HTTP`.
    pub transport: &'static str,
    pub revision: String,
    pub found: Option<Moment>,
    /// It has told what it offers at least once.
    pub known: bool,
    /// The newest look, where it failed, with why.
    pub problem: Option<(String, Option<Moment>)>,
    /// Definitions that wait for somebody.
    pub waiting: usize,
    pub reviewed: bool,
    pub notes: Vec<String>,
    /// Nodes that have said how it fares.
    pub nodes: Vec<NodeFares>,
    /// `3 prompts, 2 resources`; empty for none.
    pub besides: String,
}

impl ServerFacts {
    /// What waits, in words.
    #[must_use]
    pub fn waiting_words(&self) -> String {
        match (self.reviewed, self.waiting) {
            (false, _) => "Nothing of it is in use yet: choose what is on.".to_owned(),
            (true, 1) => {
                "One definition is new or has changed. It is off until you have looked at it.".to_owned()
            }
            (true, n) => format!(
                "{n} definitions are new or have changed. They are off until you have looked at them."
            ),
        }
    }

    /// Whether there is something to decide.
    #[must_use]
    pub const fn asks(&self) -> bool {
        self.waiting > 0 || !self.reviewed
    }
}

/// GET and POST /w/{slug}/servers/{id}.
#[derive(Template)]
#[template(path = "server.html")]
pub struct ServerPage {
    pub shell: Shell,
    pub id: String,
    pub name: String,
    pub url: String,
    pub facts: ServerFacts,
    /// What is to be decided on.
    pub waiting: Vec<DefinitionGroup>,
    /// What was looked at and not wanted.
    pub refused: Vec<DefinitionRow>,
    /// What is in use besides tools.
    pub used: Vec<UsedGroup>,
    pub tools: usize,
    pub error: Option<String>,
}

impl ServerPage {
    /// A path of this page: `page.path("/refresh")`.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        self.shell.path(&format!("/servers/{}{rest}", self.id))
    }

    /// A path of the connector that it is.
    #[must_use]
    pub fn connector(&self, rest: &str) -> String {
        self.shell.path(&format!("/connectors/{}{rest}", self.id))
    }
}
