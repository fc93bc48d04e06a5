//! The connectors of a workspace: the list, and one with its credential, tools, test, settings and removal.

use askama::Template;

use super::connect::{Connection, ProviderView};
use super::connections::AccountsView;
use super::enable::{CredentialField, SetupHelp};
use super::parts::{Access, Choice, Field, Moment};
use super::servers::{HeaderFields, ServerFacts};
use super::shell::{Person, Shell};
use super::steps::TestReport;

/// An MCP server from which nodes get no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnswering {
    /// By the clock.
    pub since: Option<Moment>,
    /// On how many nodes, of how many.
    pub nodes: usize,
    pub of: usize,
    /// What a node says is the reason; may be empty.
    pub why: String,
}

impl NotAnswering {
    /// `2 of 3 nodes`.
    #[must_use]
    pub fn nodes_words(&self) -> String {
        match (self.nodes, self.of) {
            (1, 1) => "the only node".to_owned(),
            (2, 2) => "both nodes".to_owned(),
            (nodes, of) if nodes == of => format!("all {of} nodes"),
            (nodes, of) => format!("{nodes} of {of} nodes"),
        }
    }

    fn advice(&self) -> String {
        let fail = if self.nodes == self.of { "Calls fail" } else { "Calls there fail" };
        let why = match self.why.trim().trim_end_matches('.') {
            "" => String::new(),
            why => format!(": {why}"),
        };
        format!(
            "The server does not answer {}{why}. {fail} at once, and every ten seconds one is let through to see whether it is \
             back. Check that the server runs, and the address and credential below; then look again.",
            self.nodes_words()
        )
    }
}

/// Whether an installation can do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstallationState {
    Ready,
    /// It needs a credential and has none.
    NeedsCredential,
    /// Nobody has logged in at its provider.
    NotConnected,
    /// Its API refused or failed lately, with the reason.
    Failing(String),
    /// It is an MCP server from which nodes get no answer.
    NotAnswering(NotAnswering),
    /// Every tool is switched off.
    Off,
    /// There is none that could be on.
    NoTools,
}

impl InstallationState {
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::NeedsCredential => "Needs a credential",
            Self::NotConnected => "Not connected",
            Self::Failing(_) => "Failing",
            Self::NotAnswering(_) => "Not answering",
            Self::Off => "All tools off",
            Self::NoTools => "No tools",
        }
    }

    #[must_use]
    pub const fn tone(&self) -> &'static str {
        match self {
            Self::Ready => "fine",
            Self::NeedsCredential | Self::NotConnected => "attention",
            Self::NotAnswering(by) if by.nodes < by.of => "attention",
            Self::Failing(_) | Self::NotAnswering(_) => "danger",
            Self::Off | Self::NoTools => "",
        }
    }

    /// How long and where, beside the word.
    #[must_use]
    pub const fn not_answering(&self) -> Option<&NotAnswering> {
        match self {
            Self::NotAnswering(by) => Some(by),
            _ => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Ready | Self::NoTools => None,
            Self::NeedsCredential => Some("Its tools are refused until a credential is given.".to_owned()),
            Self::NotConnected => {
                Some("Its tools are refused until it is connected to an account.".to_owned())
            }
            Self::Failing(why) => Some(why.clone()),
            Self::NotAnswering(by) => Some(by.advice()),
            Self::Off => Some("Clients see none of its tools. Switch on those you want below.".to_owned()),
        }
    }
}

/// One line of the list.
pub struct InstallationRow {
    pub id: String,
    pub name: String,
    /// The connector's name in URLs and for people.
    pub connector: String,
    pub connector_title: String,
    pub state: InstallationState,
    /// Whether something that it offers waits for somebody to look at it.
    pub waits: bool,
    pub tools_on: usize,
    pub tools_all: usize,
    /// The last four characters of the credential, where there is one.
    pub last4: Option<String>,
    /// Whose login it calls with, where it does.
    pub login: Option<&'static str>,
    pub host: String,
}

impl InstallationRow {
    /// The path of its logo below the static folder.
    #[must_use]
    pub fn logo(&self) -> String {
        super::catalog::logo(&self.connector)
    }
}

/// GET /w/{slug}/connectors.
#[derive(Template)]
#[template(path = "installations.html")]
pub struct InstallationsPage {
    pub shell: Shell,
    pub rows: Vec<InstallationRow>,
}

/// What may be known of a stored credential.
pub struct CredentialFact {
    /// The logical name's label: `Access token`.
    pub label: String,
    pub last4: String,
    pub added: Moment,
    pub by: Person,
}

/// One tool with its switch. A fragment of its own when it has been switched.
#[derive(Clone, Template)]
#[template(path = "parts/tool_row.html")]
pub struct ToolRow {
    /// Where the switch posts to: `/w/acme/connectors/ID/tools`.
    pub action: String,
    pub csrf: String,
    /// Without the prefix: what the form sends.
    pub name: String,
    /// With the prefix: what clients see.
    pub full_name: String,
    pub title: String,
    pub description: String,
    pub access: Access,
    pub enabled: bool,
    /// For composites alone.
    pub hidden: bool,
    /// Whether it stands in clients' lists while it is on.
    pub in_list: bool,
    /// Whether it can be put into the list or taken out of it, and where that posts to.
    pub may_promote: bool,
    pub promote: String,
    /// Where something is said of it in place of the connector.
    pub change: String,
    pub overridden: bool,
}

/// Where clients find the tools of an installation.
pub struct ExposureView {
    /// `direct`, `code`, `both`.
    pub choices: Vec<Choice>,
    /// How many tools stand in the list now, of how many that it should not pass.
    pub listed: usize,
    pub most: usize,
    /// How many there would be with all of this installation.
    pub if_direct: usize,
}

impl ExposureView {
    /// Whether the list is longer than it should be.
    #[must_use]
    pub const fn too_many(&self) -> bool {
        self.listed > self.most
    }

    /// What a choice means, in a sentence.
    #[must_use]
    pub fn meaning(&self, value: &str) -> String {
        match value {
            "direct" => format!("Every tool that is on. The list would hold {}.", self.if_direct),
            "code" => "Found with discover_tools and called in execute_code. You can put single tools into the list.".to_owned(),
            _ => format!("In the list and from code. The list would hold at least {}.", self.if_direct),
        }
    }
}

impl askama::filters::HtmlSafe for ToolRow {}

/// GET /w/{slug}/connectors/{id}?access=&q=.
#[derive(Template)]
#[template(path = "installation.html")]
pub struct InstallationPage {
    pub shell: Shell,
    pub id: String,
    pub row: InstallationRow,
    pub base_url: Field,
    pub added: Moment,
    pub added_by: Person,
    /// Empty where the connector needs none.
    pub credential_fields: Vec<CredentialField>,
    pub credentials: Vec<CredentialFact>,
    /// The headers in which an MCP server is shown its credentials, where it is.
    pub headers: Vec<HeaderFields>,
    /// What is known of its access tokens, where it lives on such.
    pub connection: Option<Connection>,
    /// Whose account is used, where that can be chosen.
    pub accounts: Option<AccountsView>,
    /// The authorization server that was found for it.
    pub provider: Option<ProviderView>,
    pub help: SetupHelp,
    /// The tools that pass the filter.
    pub tools: Vec<ToolRow>,
    /// How many more tools pass the filter than are shown.
    pub more: usize,
    pub bare_names: bool,
    /// Longest wait for one call, in seconds; empty for the node's own.
    pub timeout: Field,
    /// What is known of it, where it is another MCP server.
    pub server: Option<ServerFacts>,
    /// Whether the connector has a newer version.
    pub newer: bool,
    /// The id of the workspace's own connector that it stands on.
    pub own: Option<String>,
    /// The filter by access class: `all` and each class there is, with its count in the label.
    pub classes: Vec<Choice>,
    pub q: String,
    pub exposure: ExposureView,
    pub report: Option<TestReport>,
    /// What stops working when it is removed, a sentence each.
    pub consequences: Vec<String>,
    /// The name typed to confirm the removal, with what was wrong with it.
    pub confirm: Field,
    /// Where to prove again who one is, before credentials can be replaced and the connector removed.
    pub prove: Option<String>,
}

impl InstallationPage {
    /// A path of this installation: `page.path("/test")`.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        self.shell.path(&format!("/connectors/{}{rest}", self.id))
    }

    /// A path of what it offers, where it is another MCP server.
    #[must_use]
    pub fn server_path(&self, rest: &str) -> String {
        self.shell.path(&format!("/servers/{}{rest}", self.id))
    }

    /// Whether nothing of what an MCP server offers is in use as a tool.
    #[must_use]
    pub const fn offers_no_tool(&self) -> bool {
        self.server.is_some() && self.row.tools_all == 0
    }

    /// What is to be typed before a removal.
    #[must_use]
    pub fn confirm_label(&self) -> String {
        format!("Type {} to confirm", self.row.name)
    }

    /// Whether it is an MCP server that has not told anybody yet what it offers.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.server.as_ref().is_some_and(|server| !server.known)
    }

    /// Whether it can be looked at now, as far as is known here.
    #[must_use]
    pub fn may_look(&self) -> bool {
        !self.is_unseen() || self.is_personal() || self.connection.as_ref().is_none_or(|of| of.connected)
    }

    /// Where the viewer connects an account of their own.
    #[must_use]
    pub fn own_connection(&self) -> String {
        self.shell.path(&format!("/connections/{}", self.id))
    }

    /// Whether nobody can connect before an admin has entered a client of its authorization server.
    #[must_use]
    pub fn asks_for_client(&self) -> bool {
        self.provider.as_ref().is_some_and(|provider| provider.has_to_be_entered)
    }

    /// Whether somebody has to give or allow something before it can be called: that stands first then.
    #[must_use]
    pub fn asks_first(&self) -> bool {
        self.way_out().is_some_and(|(_, place)| place != "server")
            || self.provider.as_ref().is_some_and(ProviderView::is_open)
    }

    /// Where on this page what keeps it from being called is mended: what the link says, and the place.
    #[must_use]
    pub fn way_out(&self) -> Option<(&'static str, &'static str)> {
        let refused = self.connection.as_ref().filter(|of| of.problem.is_some() && !self.is_personal());
        match (&self.row.state, refused) {
            (InstallationState::NeedsCredential, _) => Some(("Enter the credential", "credential")),
            (InstallationState::NotConnected, _) if self.asks_for_client() => {
                Some(("Enter a client", "provider"))
            }
            (InstallationState::NotConnected, _) => Some(("Connect it", "connection")),
            (_, Some(connection)) if connection.by_consent() => Some(("Go to its connection", "connection")),
            (InstallationState::NotAnswering(_), _) => Some(("See the server", "server")),
            _ => None,
        }
    }

    /// Whether each member uses an account of their own.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.accounts.as_ref().is_some_and(|accounts| accounts.personal)
    }

    /// Whether its authorization server is found rather than named by the connector.
    #[must_use]
    pub fn is_found(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.found)
    }

    /// Whether the workspace has credentials here: where members connect their own accounts, of an app at the provider or of
    /// what is shown beside them.
    #[must_use]
    pub fn has_credential(&self) -> bool {
        (!self.is_personal() || self.connection.is_some() || !self.credential_fields.is_empty())
            && !self.is_found()
    }

    /// Whether the form for a new credential stands open: there is none, or what was given was refused.
    #[must_use]
    pub fn asks_for_credential(&self) -> bool {
        self.credentials.is_empty()
            || self.credential_fields.iter().any(|part| part.field.error.is_some())
            || self.headers.iter().any(|row| row.header.error.is_some() || row.value.error.is_some())
    }

    /// The access class the filter shows; `all` without one.
    #[must_use]
    pub fn class(&self) -> &str {
        self.classes.iter().find(|choice| choice.chosen).map_or("all", |choice| choice.value.as_str())
    }
}
