//! DADL, the YAML language for REST APIs (spec v0.1 and v0.2): from source text to a compiled connector.
//!
//! Owns everything between the text and the protobuf message: YAML rules, validation with line and column, inheritance
//! of defaults, input schemas, the choice of a test call. Knows no database, no tenant and no HTTP; it is a pure function
//! of its input. What a document asks for and this version does not execute is left out by name or refused, never
//! executed by half. Nodes see the result only.
//!
//! Where the language leaves room, this is what holds:
//! - `required` with a `default` means optional, in the schema and for the node. `default: null` is no default.
//! - A bare number is text where text is wanted, as it is spelled: `version: 1.10`, `default: 007`.
//! - An empty `prefix` is empty, also for bearer; `header_name` and `prefix` hold for access tokens of OAuth 2 too. `inject_into: query` on bearer and `header_name` on basic have no effect.
//! - A tool's `response`, `errors` and `pagination` replace the inherited ones as a whole; `redact` adds up.
//! - What is both in `retry_on` and in `terminal` is not retried. Only GET, HEAD, PUT and DELETE are retried, and what has an
//!   idempotency key or says `retry_unsafe`.
//! - `allow_jq_override` is the optional argument `_jq`, a program over the masked result.
//! - Files are handed over with the answer, large ones by a link; `ttl` says how long that is good, an hour at most. `stream_handling: skip` reads nothing of the answer.
//! - Inherited pagination is for GET tools; `expose` adds the paging arguments that a tool does not declare, and
//!   `cursor_param` stands in for a missing `page_param` or `offset_param`.
//! - Content type: the tool's, else `defaults.content_type`, else the header in `defaults.headers`, else JSON. It decides
//!   how the body is written; another type carries the one body parameter as it is. A file goes alone as it is, or beside
//!   other parameters as multipart/form-data; a body without parameters is not sent.
//! - A file is named by an http or https URL, which the node fetches without any credential, or by a `data:` URL, since some
//!   clients have no other way to hand over a small one. Where `x-schema` says that it is a list, a form takes several.
//! - A list in a path is written with commas, as OpenAPI's `simple`.
//! - An answer is JSON or text for what is in it, where its name says less: many servers send JSON as a web page.
//! - A parameter whose name some clients refuse (`types[]`) is offered under a plain one (`types`) and taken under both.
//! - Null is a value in a body, and elsewhere the same as nothing.
//! - `health` is a tool without arguments and the test of a connection; an author's own tool of that name is what callers see.
//! - Keys beyond the language begin with `x-` and stand in `extensions`.
//! - Tools whose names start with `_` are for composites only. Hints for unknown tools are passed over.
//! - A composite may call the tools that its code names or that it lists in `depends_on`; all, where it picks them while it
//!   runs. Without a word its access class is the farthest of theirs. Defaults stand in for arguments that are missing.

mod answer;
mod auth;
mod body;
mod composites;
mod diagnostic;
mod document;
mod duration;
mod errors;
mod extensions;
mod fields;
mod headers;
mod health;
mod jsonpath;
mod names;
mod paging;
mod params;
mod probe;
mod response;
mod rules;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_answers;
#[cfg(test)]
mod tests_auth;
#[cfg(test)]
mod tests_hostile;
#[cfg(test)]
mod tests_registry;
#[cfg(test)]
mod tests_yaml;
mod text;
mod tool;
mod types;
mod yaml;

use std::collections::BTreeSet;

use toolmesh_proto::access::Access;
use toolmesh_proto::v1;

pub use diagnostic::{CompileErrors, Diagnostic};
use diagnostic::{Mark, Report};

/// Largest document that is read, in bytes.
pub const MAX_SOURCE: usize = 4 * 1024 * 1024;

/// A document that was read whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    pub connector: v1::Connector,
    /// What an author should look at; nothing here keeps the connector from working.
    pub warnings: Vec<Diagnostic>,
    /// Tools and composites of the document that the connector does not have.
    pub left_out: Vec<LeftOut>,
    /// Tools that enabling the connector leaves switched off, by name.
    pub default_off: BTreeSet<String>,
    pub examples: Vec<Example>,
    pub setup: Setup,
    pub coverage: Option<Coverage>,
    pub about: About,
}

/// A tool that this version cannot execute wholly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub tool: String,
    /// Completes the sentence that begins with the tool's name.
    pub reason: String,
}

/// Something that people ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    pub name: String,
    /// As a person would say it.
    pub description: String,
    /// How a program would do it.
    pub code: String,
}

/// What a person needs to know and to fill in before the connector works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    pub credentials: Vec<CredentialField>,
    /// How to get the credential, one step each.
    pub steps: Vec<String>,
    pub required_scopes: Vec<String>,
    pub optional_scopes: Vec<String>,
    /// An http or https URL, or empty.
    pub docs_url: String,
    pub notes: String,
}

/// One credential of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialField {
    /// Logical name, as in `BearerAuth.credential`.
    pub name: String,
    pub label: String,
    pub help: String,
    pub optional: bool,
    /// False for a user name, which may be shown while it is typed.
    pub secret: bool,
}

/// How much of an API a document covers, in its author's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    pub focus: String,
    pub missing: String,
    pub last_reviewed: String,
    pub percentage: Option<u8>,
}

/// Where a document comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub credits: Vec<String>,
    pub source_name: String,
    pub source_url: String,
    pub date: String,
}

/// How many tools a connector has of each access class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessCounts {
    pub read: usize,
    pub write: usize,
    pub admin: usize,
    pub dangerous: usize,
    pub other: usize,
}

/// Compiles a document. `origin` is the file's name, for messages.
///
/// # Errors
/// Everything that is wrong with the document, each with its place, as far as it could be read.
pub fn compile(source: &str, origin: &str) -> Result<Compiled, CompileErrors> {
    let mut report = Report::new(origin);
    let compiled = read(source, &mut report);
    if compiled.is_none() && report.error_count() == 0 {
        report.error(Mark::default(), "", "the document cannot be read", "");
    }
    let warnings = report.finish()?;
    compiled
        .map(|compiled| Compiled { warnings, ..compiled })
        .ok_or_else(|| CompileErrors { errors: Vec::new(), more: 1 })
}

/// What a document says of its credentials, without the rest of it; nothing where it cannot be read.
#[must_use]
pub fn setup(source: &str) -> Setup {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    if source.len() > MAX_SOURCE {
        return Setup::default();
    }
    yaml::parse(source).map(|root| document::setup(&root)).unwrap_or_default()
}

fn read(source: &str, report: &mut Report) -> Option<Compiled> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    if source.len() > MAX_SOURCE {
        let message = format!("the document has {} bytes; at most {MAX_SOURCE} are read", source.len());
        report.error(Mark::default(), "", message, "split it into several connectors");
        return None;
    }
    match yaml::parse(source) {
        Ok(root) => document::read(&root, report),
        Err(error) => {
            report.error(error.at, "", error.message, error.help);
            None
        }
    }
}

/// Text for a model or a page: trimmed, without control characters and without the marks that reorder what is shown.
pub(super) fn clean_text(text: &str) -> String {
    text::clean(text)
}

/// Whether a header may carry a credential.
pub(super) fn may_carry_a_credential(name: &str) -> bool {
    headers::may_carry_a_credential(name)
}

/// Whether a cookie can have this name.
pub(super) fn is_cookie_name(name: &str) -> bool {
    headers::is_cookie_name(name)
}

/// Whether a content type can be sent.
pub(super) fn is_media_type(text: &str) -> bool {
    rules::is_media_type(text)
}

/// Whether a node can check arguments with a JSON Schema.
pub(super) fn is_usable_schema(schema: &serde_json::Value) -> bool {
    extensions::check_schema(schema).is_ok()
}

impl Compiled {
    /// How many tools clients see, by class.
    #[must_use]
    pub fn counts(&self) -> AccessCounts {
        let mut counts = AccessCounts::default();
        for tool in self.connector.tools.iter().filter(|tool| !tool.hidden) {
            let slot = match Access::parse(&tool.access) {
                Access::Read => &mut counts.read,
                Access::Write => &mut counts.write,
                Access::Admin => &mut counts.admin,
                Access::Dangerous => &mut counts.dangerous,
                Access::Other(_) => &mut counts.other,
            };
            *slot += 1;
        }
        counts
    }

    /// Hosts that the connector calls; empty where every installation names its own base URL.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        let url = url::Url::parse(&self.connector.base_url).ok();
        url.and_then(|url| url.host_str().map(str::to_owned)).into_iter().collect()
    }
}

impl AccessCounts {
    #[must_use]
    pub const fn total(&self) -> usize {
        self.read + self.write + self.admin + self.dangerous + self.other
    }
}
