//! The audit log: calls as they come, filters in the URL, one call in full beside the list.

use askama::Template;
use askama::filters::HtmlSafe;

use super::parts::{Access, Choice, Moment, Outcome};
use super::path::CallPath;
use super::shell::Shell;

/// One call in a list, or what a node tells beside calls.
#[derive(Clone)]
pub struct CallRow {
    /// The event's id, for its URL.
    pub id: String,
    pub at: Moment,
    /// The person's name, or their address, or the service account's name, or `Unknown`.
    pub who: String,
    /// The client: `ChatGPT`, `Key: nightly report`; empty where it is of no one client.
    pub client: String,
    /// With the installation's prefix.
    pub tool: String,
    /// What it says instead of a tool's name, where it is of no call.
    pub beside: Option<String>,
    pub access: Access,
    pub outcome: Outcome,
    /// From `duration`.
    pub took: String,
}

/// What the URL asks for.
#[derive(Clone, Default)]
pub struct AuditFilters {
    pub q: String,
    /// Each begins with the choice of all, whose value is empty.
    pub outcomes: Vec<Choice>,
    pub users: Vec<Choice>,
    pub tools: Vec<Choice>,
    /// The query string that says all this, without `before` and the question mark: `outcome=denied&q=issue`.
    pub query: String,
}

impl AuditFilters {
    /// Whether anything is filtered.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.query.is_empty()
    }

    /// The choices of outcomes, with the current one marked.
    #[must_use]
    pub fn outcome_choices(current: &str) -> Vec<Choice> {
        let all = Choice::new("", "Any outcome", current);
        let each =
            Outcome::ALL.into_iter().map(|outcome| Choice::new(outcome.as_str(), outcome.word(), current));
        std::iter::once(all).chain(each).collect()
    }
}

/// The list alone, which replaces itself every second while its top is shown. The answer to a request of its own
/// (`HX-Target: audit-list`); a whole page does as well, since only the list is taken out of it.
#[derive(Clone, Template)]
#[template(path = "parts/audit_list.html")]
pub struct AuditList {
    /// `/w/acme/audit`.
    pub base: String,
    pub query: String,
    pub rows: Vec<CallRow>,
    /// The call shown beside the list.
    pub chosen: Option<String>,
    /// The value of `before` that leads to older calls.
    pub older: Option<String>,
    /// Whether this is the newest page. Only that one refreshes.
    pub newest: bool,
}

impl HtmlSafe for AuditList {}

impl AuditList {
    /// The address of a call, with the filters kept.
    #[must_use]
    pub fn of(&self, id: &str) -> String {
        self.address(&format!("/{id}"), None)
    }

    /// The address of the list as it is shown, for its refresh.
    #[must_use]
    pub fn here(&self) -> String {
        self.chosen.as_ref().map_or_else(|| self.address("", None), |id| self.of(id))
    }

    /// The address of the list without a call beside it.
    #[must_use]
    pub fn closed(&self) -> String {
        self.address("", None)
    }

    /// The address of older calls.
    #[must_use]
    pub fn before(&self, before: &str) -> String {
        self.address("", Some(before))
    }

    /// Whether a call is the one shown beside the list.
    #[must_use]
    pub fn is_chosen(&self, id: &str) -> bool {
        self.chosen.as_deref() == Some(id)
    }

    fn address(&self, path: &str, before: Option<&str>) -> String {
        let before = before.map(|before| format!("before={before}"));
        let query: Vec<&str> = [Some(self.query.as_str()), before.as_deref()]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{path}{mark}{}", self.base, query.join("&"))
    }
}

/// One call in full.
pub struct CallDetail {
    pub row: CallRow,
    /// The person's address, where known.
    pub email: Option<String>,
    /// Whether it was a service account.
    pub machine: bool,
    /// What the client calls itself; untrusted.
    pub agent: String,
    pub remote_addr: String,
    /// `tools/call`.
    pub method: String,
    /// The installation's name and id, where there is one.
    pub installation: Option<(String, String)>,
    /// Pretty JSON with secrets redacted.
    pub arguments: String,
    /// The code that was run, where the arguments are code; secrets redacted.
    pub code: Option<String>,
    /// The call on whose behalf it was made.
    pub parent: Option<CallRow>,
    /// The calls made on its behalf, in the order they began.
    pub children: Vec<CallRow>,
    /// Why, where the outcome is not OK.
    pub reason: String,
    pub request_id: String,
    /// The API's answer: `200`.
    pub upstream_status: Option<u32>,
    /// From `duration`.
    pub upstream_took: Option<String>,
    /// `1.2 kB`.
    pub result_size: String,
    /// Which node tells of it; `None` for what is noted in the console.
    pub node: Option<String>,
    pub path: CallPath,
}

/// GET /w/{slug}/audit and /w/{slug}/audit/{id}.
#[derive(Template)]
#[template(path = "audit.html")]
pub struct AuditPage {
    pub shell: Shell,
    pub filters: AuditFilters,
    pub list: AuditList,
    pub detail: Option<CallDetail>,
}
