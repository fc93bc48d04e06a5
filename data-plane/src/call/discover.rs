//! `discover_tools`: what code could call, found by words, with signatures to call it by.

use std::fmt::Write as _;
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;
use toolmesh_proto::v1::Outcome;

use super::{Caller, Said};
use crate::catalog::search::{Shelf, search};
use crate::catalog::typescript::{Described, signature};
use crate::catalog::{Installation, ToolEntry, spelling};
use crate::execute::Aside;
use crate::execute::rest::response::Content;
use crate::policy::{Feed, authorize};
use crate::record::CallEvent;

/// How many tools a search tells of, and at most.
const USUAL: usize = 8;
const MOST: usize = 25;
/// Most bytes of an answer.
const ANSWER_BYTES: usize = 20_000;
/// Most characters of a description in a list of finds, on a line, and in full.
const FOUND_CHARS: usize = 300;
const LINE_CHARS: usize = 100;
const FULL_CHARS: usize = 1000;
/// Most namespaces and names in an overview.
const NAMESPACES: usize = 60;
const NAMES: usize = 6;
/// Most examples of a connector, and most characters of one.
const EXAMPLES: usize = 3;
const EXAMPLE_CHARS: usize = 700;

/// The arguments.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Arguments {
    query: Option<String>,
    names: Option<Vec<String>>,
    namespace: Option<String>,
    limit: Option<usize>,
}

/// Answers and records it.
pub(super) fn run(caller: &Caller, arguments: &Arguments, mut event: CallEvent) -> Said {
    let start = Instant::now();
    let text = Shop { caller }.answer(arguments);
    event.step("result", true, start.elapsed(), "");
    event.facts().result_bytes = text.len() as u64;
    event.finish(Outcome::Ok, "");
    Said::Result(Content::Text(text), Aside::default())
}

/// What one caller may use from code.
struct Shop<'a> {
    caller: &'a Caller,
}

impl<'a> Shop<'a> {
    fn answer(&self, asked: &Arguments) -> String {
        let namespace = asked.namespace.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let namespace = namespace.map(|name| name.strip_prefix("tools.").unwrap_or(name));
        let installations = self.installations(namespace);
        if let Some(names) = asked.names.as_ref().filter(|names| !names.is_empty()) {
            return self.named(names);
        }
        if let (Some(name), true) = (namespace, installations.is_empty()) {
            return format!("There is no {name:?} here.\n{}", self.overview(&self.installations(None)));
        }
        match asked.query.as_deref().map(str::trim).filter(|query| !query.is_empty()) {
            Some(query) => self.found(&installations, query, asked.limit),
            None => match (namespace, installations.first()) {
                (Some(_), Some(one)) => self.contents(one),
                _ => self.overview(&installations),
            },
        }
    }

    /// The installations with tools for code, or the one of a name.
    fn installations(&self, namespace: Option<&str>) -> Vec<&'a Installation> {
        let all = self.caller.visit.tenant.installations.iter().map(|one| &**one);
        let all = all.filter(|one| one.exposure.in_code());
        let all = all.filter(|one| namespace.is_none_or(|name| spelling::is_namespace(name, &one.name)));
        all.filter(|one| self.tools(one).next().is_some()).collect()
    }

    fn may(&self, entry: &ToolEntry) -> bool {
        !entry.tool.hidden
            && authorize(&self.caller.visit.tenant, &self.caller.principal, entry, Feed::Heard).is_listed()
    }

    fn tools(&self, installation: &Installation) -> impl Iterator<Item = &'a ToolEntry> {
        let caller = self.caller;
        let shop = Self { caller };
        caller.visit.tenant.entries_of(installation.id).iter().filter(move |entry| shop.may(entry))
    }

    fn found(&self, installations: &[&'a Installation], query: &str, limit: Option<usize>) -> String {
        let most = limit.unwrap_or(USUAL).clamp(1, MOST);
        let shelves: Vec<Shelf<'_>> =
            installations.iter().map(|one| Shelf { index: &one.connector.search, name: &one.name }).collect();
        let hits = search(&shelves, query);
        let entry = |shelf: usize, tool: usize| {
            let installation = installations.get(shelf)?;
            self.caller.visit.tenant.entries_of(installation.id).get(tool).filter(|entry| self.may(entry))
        };
        let fitting: Vec<&ToolEntry> = hits.iter().filter_map(|hit| entry(hit.shelf, hit.tool)).collect();
        if fitting.is_empty() {
            let query: String = query.chars().take(100).collect();
            return format!("No tool fits {query:?}. Try other words.\n{}", self.overview(installations));
        }
        let mut out = Out::default();
        let shown = fitting.len().min(most);
        let _ = writeln!(
            out.text,
            "{shown} of {} tools that fit, the best first. Call them in execute_code.",
            fitting.len()
        );
        for entry in fitting.iter().take(most) {
            out.add(&described(entry, FOUND_CHARS));
        }
        out.end("Ask for fewer, or for one by names.")
    }

    fn named(&self, names: &[String]) -> String {
        let mut out = Out::default();
        for name in names.iter().take(MOST) {
            match self.by_name(name) {
                Some(entry) => out.add(&described(entry, FULL_CHARS)),
                None => {
                    let name: String = name.chars().take(100).collect();
                    out.add(&format!("There is no tool {name:?}. Look for it with a query."));
                }
            }
        }
        out.end("Ask for fewer names at a time.")
    }

    /// A tool by the way it is spelled in code, with or without `tools.`, or by its public name.
    fn by_name(&self, name: &str) -> Option<&'a ToolEntry> {
        let name = name.trim();
        let all = self.installations(None);
        let mut all = all.into_iter().flat_map(|one| self.tools(one));
        all.find(|entry| {
            let spelled = spelling::spelled(entry);
            entry.name == name
                || entry.alias.as_deref() == Some(name)
                || spelled == name
                || spelled.strip_prefix("tools.") == Some(name)
        })
    }

    /// All tools of one connector, a line each.
    fn contents(&self, installation: &Installation) -> String {
        let mut out = Out::default();
        let count = self.tools(installation).count();
        let _ = writeln!(
            out.text,
            "tools.{} ({}) has {count} tools. For signatures, ask with a query or with names.",
            spelling::namespace(&installation.name),
            installation.connector.title
        );
        for example in installation.connector.examples.iter().take(EXAMPLES) {
            let code =
                example.code.replace("api.", &format!("tools.{}.", spelling::namespace(&installation.name)));
            if code.chars().count() <= EXAMPLE_CHARS {
                out.add(&format!("Example, {}:\n{}", example.name, code.trim()));
            }
        }
        for entry in self.tools(installation) {
            let text: String = entry.description().split_whitespace().collect::<Vec<_>>().join(" ");
            let line: String = text.chars().take(LINE_CHARS).collect();
            out.add_line(&format!("{} ({}) {line}", spelling::member(entry.own_name()), entry.tool.access));
        }
        out.end("Use a query to find the others.")
    }

    /// Which connectors there are, with a few of their tools.
    fn overview(&self, installations: &[&'a Installation]) -> String {
        let mut out = Out::default();
        if installations.is_empty() {
            return "There are no tools for code that you may use.".to_owned();
        }
        out.text.push_str("Ask with a query, such as \"create an issue\". There are:\n");
        for installation in installations.iter().take(NAMESPACES) {
            let count = self.tools(installation).count();
            let names: Vec<String> = self
                .tools(installation)
                .take(NAMES)
                .map(|entry| spelling::member(entry.own_name()))
                .collect();
            out.add_line(&format!(
                "tools.{} ({}): {count} tools, such as {}",
                spelling::namespace(&installation.name),
                installation.connector.title,
                names.join(", ")
            ));
        }
        out.end("Ask with a query.")
    }
}

fn described(entry: &ToolEntry, description_chars: usize) -> String {
    let schema: Value = serde_json::from_str(entry.schema().get()).unwrap_or_default();
    let returns = entry.tool.returns.as_ref().and_then(|json| serde_json::from_str(json.get()).ok());
    signature(&Described {
        spelled: &spelling::spelled(entry),
        description: entry.description(),
        description_chars,
        access: entry.tool.access.as_str(),
        schema: &schema,
        returns: returns.as_ref(),
    })
}

/// An answer that does not grow too long.
#[derive(Default)]
struct Out {
    text: String,
    left_out: usize,
}

impl Out {
    fn add(&mut self, part: &str) {
        self.push(part, "\n");
    }

    fn add_line(&mut self, part: &str) {
        self.push(part, "");
    }

    fn push(&mut self, part: &str, before: &str) {
        if self.left_out > 0 || self.text.len() + part.len() > ANSWER_BYTES {
            self.left_out += 1;
        } else {
            let _ = writeln!(self.text, "{before}{part}");
        }
    }

    fn end(mut self, advice: &str) -> String {
        if self.left_out > 0 {
            let _ = write!(self.text, "\n{} more are left out. {advice}", self.left_out);
        }
        self.text.trim_end().to_owned()
    }
}
