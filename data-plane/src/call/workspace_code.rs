//! `execute_code`: code that a model wrote, with the tools in reach that its caller may use and the workspace offers to code.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toolmesh_proto::v1::Outcome;

use super::inner::{Parent, Target, Traced, answering};
use super::{Caller, Said};
use crate::catalog::{Installation, ToolEntry, spelling};
use crate::execute::Aside;
use crate::execute::code::{
    Answering, Api, Budget, CODE_WITHIN, Finished, Given, Program, Returned, Stopped, Thrown,
};
use crate::execute::rest::response::Content;
use crate::policy::{Feed, authorize};
use crate::record::CallEvent;

/// Longest value that is passed on whole, as JSON; of a longer one, so much of its beginning.
const RETURNED_BYTES: usize = 64 << 10;
const SHOWN_BYTES: usize = 8 << 10;
/// Most names that a message suggests, and how like the one that was written they must be.
const SUGGESTED: usize = 5;
const LIKE: f32 = 0.5;

/// The arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    code: String,
}

/// Runs code and records what became of it.
pub(super) async fn run(caller: &Caller, arguments: Arguments, mut event: CallEvent) -> Said {
    let start = Instant::now();
    let room = match caller.app.sandbox.room(caller.visit.tenant.id) {
        Ok(room) => room,
        Err(full) => {
            event.step("code", false, start.elapsed(), full.to_string());
            event.finish(Outcome::CodeFailed, &full.to_string());
            return Said::Failed(Thrown::new("busy", full.to_string()));
        }
    };
    let budget = Budget::default();
    let parent = Parent::new(event.calls_others(), budget.clone(), room.clone());
    let tools = WorkspaceTools { caller: caller.clone(), parent: parent.clone(), found: Mutex::default() };
    let program = Program { source: without_fence(arguments.code), given: Given::Tools, within: CODE_WITHIN };
    let finished = room.run(program, Arc::new(tools), budget).await;
    let calls = parent.end();
    let made: u32 = calls.iter().map(|traced| traced.calls).sum();
    let text = answer(&finished, calls);
    match &finished.result {
        Ok(_) => {
            event.step("code", true, start.elapsed(), format!("{made} calls"));
            event.facts().result_bytes = text.len() as u64;
            event.finish(Outcome::Ok, "");
            Said::Result(Content::Text(text), Aside::default())
        }
        Err(stopped) => {
            event.step("code", false, start.elapsed(), stopped.to_string());
            event.finish(Outcome::CodeFailed, &stopped.to_string());
            Said::Failed(Thrown::new("code_failed", text))
        }
    }
}

/// What the caller reads: the value or the error, what was printed, and what was called, each only where there is any.
#[derive(Default, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    returned: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    returned_begins: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    console: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<Traced>,
}

fn answer(finished: &Finished, calls: Vec<Traced>) -> String {
    let console = finished.console.clone();
    let silent = console.is_empty();
    let nothing_called = calls.is_empty();
    let mut answer = Answer { console, calls, ..Answer::default() };
    match &finished.result {
        Ok(Returned(None)) if silent && nothing_called => {
            answer.note = Some(
                "The code called nothing and returned nothing. End it with return and a value.".to_owned(),
            );
        }
        Ok(Returned(None)) if silent => {
            answer.note = Some("The code returned nothing. End it with return to see a result.".to_owned());
        }
        Ok(Returned(None)) => {}
        Ok(Returned(Some(json))) if json.len() > RETURNED_BYTES => {
            answer.returned_begins = Some(json[..json.floor_char_boundary(SHOWN_BYTES)].to_owned());
            answer.note = Some(format!(
                "The value has {} bytes, too many to pass on. Filter or shorten it in the code.",
                json.len()
            ));
        }
        Ok(Returned(Some(json))) => answer.returned = RawValue::from_string(json.clone()).ok(),
        Err(stopped) => {
            answer.error = Some(stopped.to_string());
            answer.note = hint(stopped).map(str::to_owned);
            if let Stopped::Threw { line, .. } = stopped {
                answer.line = *line;
            }
        }
    }
    if finished.on_their_way > 0 {
        let note = answer.note.take().map(|note| format!("{note} ")).unwrap_or_default();
        let count = finished.on_their_way;
        answer.note = Some(format!("{note}{count} calls were still on their way and may have taken effect."));
    }
    serde_json::to_string(&answer).unwrap_or_default()
}

/// Code without the marks that it has in a text: models leave them on. Its lines keep their numbers.
fn without_fence(code: String) -> String {
    let inner = code.trim().strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let split = inner.and_then(|inner| inner.split_once('\n'));
    match split {
        Some((language, inner)) if language.trim().chars().all(|c| c.is_ascii_alphanumeric()) => {
            format!("\n{inner}")
        }
        _ => code,
    }
}

fn hint(stopped: &Stopped) -> Option<&'static str> {
    match stopped {
        Stopped::Threw { message, .. } if message.starts_with("ReferenceError") => Some(
            "What is not JavaScript's own is reached as await tools.NAMESPACE.tool({ … }) alone: there is no network, no timer \
             and no module.",
        ),
        Stopped::Threw { message, .. } if message.starts_with("SyntaxError") => {
            Some("Write plain JavaScript: no types, no import, no export.")
        }
        _ => None,
    }
}

/// The tools that a caller may use from code.
struct WorkspaceTools {
    caller: Caller,
    parent: Parent,
    /// What the code has asked for so far.
    found: Mutex<Vec<Target>>,
}

impl WorkspaceTools {
    fn lock(&self) -> MutexGuard<'_, Vec<Target>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn installation(&self, namespace: &str) -> Option<&Arc<Installation>> {
        let all = self.caller.visit.tenant.installations.iter();
        all.filter(|one| one.exposure.in_code()).find(|one| spelling::is_namespace(namespace, &one.name))
    }

    /// The tools of an installation that this caller may use or could with a wider token.
    fn tools<'a>(&'a self, installation: &'a Installation) -> impl Iterator<Item = &'a ToolEntry> {
        let tenant = &self.caller.visit.tenant;
        let entries = tenant.entries_of(installation.id).iter();
        entries.filter(|entry| authorize(tenant, &self.caller.principal, entry, Feed::Heard).is_listed())
    }

    /// A sentence for a namespace that is not there.
    fn astray(&self, name: &str) -> String {
        let spaces = self.names("");
        let meant = spaces.iter().find_map(|space| {
            let tool =
                name.strip_prefix(space.as_str()).and_then(|rest| rest.strip_prefix('_')).unwrap_or(name);
            self.names(space).iter().any(|known| known == tool).then(|| format!("tools.{space}.{tool}"))
        });
        if let Some(meant) = meant {
            return format!("tools has no {name:?}. Did you mean {meant}?");
        }
        let others = self.caller.visit.tenant.installations.iter().filter(|one| !one.exposure.in_code());
        let usable = others.filter(|one| self.tools(one).any(|entry| !entry.tool.hidden));
        let mut spaces_of_others = usable.map(|one| spelling::namespace(&one.name));
        let direct = spaces_of_others.find(|space| {
            name.strip_prefix(space.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        });
        if let Some(space) = direct {
            return format!(
                "tools has no {name:?}: the tools of {space} are called by themselves, not from code."
            );
        }
        format!("tools has no {name:?}; it has {}. Find tools with discover_tools.", spaces.join(", "))
    }

    fn at(&self, tool: u32) -> Option<Target> {
        self.lock().get(usize::try_from(tool).ok()?).cloned()
    }
}

impl Api for WorkspaceTools {
    fn names(&self, namespace: &str) -> Vec<String> {
        let tenant = &self.caller.visit.tenant;
        if namespace.is_empty() {
            let all = tenant.installations.iter().filter(|one| one.exposure.in_code());
            let usable = all.filter(|one| self.tools(one).any(|entry| !entry.tool.hidden));
            return usable.map(|one| spelling::namespace(&one.name)).collect();
        }
        let Some(installation) = self.installation(namespace) else { return Vec::new() };
        let shown = self.tools(installation).filter(|entry| !entry.tool.hidden);
        shown.map(|entry| spelling::member(entry.own_name())).collect()
    }

    fn namespace(&self, name: &str) -> Result<(), String> {
        match self.installation(name) {
            Some(_) => Ok(()),
            None => Err(self.astray(name)),
        }
    }

    fn find(&self, namespace: &str, tool: &str) -> Result<u32, String> {
        let none = || format!("tools has no {namespace:?}");
        let installation = self.installation(namespace).ok_or_else(none)?;
        // What is for composites alone does without their checks.
        let shown = || self.tools(installation).filter(|entry| !entry.tool.hidden);
        let named = shown().find(|entry| entry.own_name() == tool);
        let found = named.or_else(|| shown().find(|entry| spelling::member(entry.own_name()) == tool));
        let Some(entry) = found else {
            return Err(unknown(namespace, tool, &self.names(namespace)));
        };
        let target = Target {
            installation: installation.id,
            tool: entry.tool.name.clone(),
            spelled: spelling::spelled(entry),
        };
        let mut found = self.lock();
        found.push(target);
        u32::try_from(found.len() - 1).map_err(|_| none())
    }

    fn spelled(&self, tool: u32) -> String {
        self.at(tool).map(|target| target.spelled).unwrap_or_default()
    }

    fn call(&self, tool: u32, arguments: Map<String, Value>) -> Answering {
        match self.at(tool) {
            Some(target) => answering(&self.caller, &self.parent, target, arguments),
            None => Box::pin(async { Err(Thrown::new("internal", "There is no such tool in this run.")) }),
        }
    }
}

/// A sentence for a tool that is not there, with the names that are nearest to it.
fn unknown(namespace: &str, tool: &str, names: &[String]) -> String {
    let asked = pairs(tool);
    let mut near: Vec<(f32, &str)> =
        names.iter().map(|name| (likeness(&asked, &pairs(name)), name.as_str())).collect();
    near.retain(|(likeness, _)| *likeness >= LIKE);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.truncate(SUGGESTED);
    let near: Vec<&str> = near.into_iter().map(|(_, name)| name).collect();
    let hint = if near.is_empty() { String::new() } else { format!(" Did you mean {}?", near.join(", ")) };
    format!("tools.{namespace} has no tool {tool:?}.{hint} Find tools with discover_tools.")
}

/// The pairs of neighbouring bytes of a name, as far as anybody would mistype it.
fn pairs(name: &str) -> Vec<(u8, u8)> {
    let bytes = name.as_bytes();
    bytes.iter().zip(bytes.iter().skip(1)).take(64).map(|(a, b)| (a.to_ascii_lowercase(), *b)).collect()
}

/// How many of the pairs of two names are the same, from 0 to 1.
fn likeness(one: &[(u8, u8)], other: &[(u8, u8)]) -> f32 {
    let shared = one.iter().filter(|pair| other.contains(pair)).count();
    let all = one.len() + other.len();
    if all == 0 { 0.0 } else { 2.0 * shared as f32 / all as f32 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn finished(result: Result<Returned, Stopped>) -> Finished {
        Finished { result, console: Vec::new(), on_their_way: 0, computed: Duration::ZERO }
    }

    #[test]
    fn an_answer_holds_only_what_there_is() {
        let text = answer(&finished(Ok(Returned(Some("[1]".to_owned())))), Vec::new());
        assert_eq!(text, r#"{"returned":[1]}"#);
        let traced = Traced { tool: "tools.a.b".to_owned(), calls: 2, failed: 0, ms: 5 };
        let text = answer(&finished(Ok(Returned(Some("1".to_owned())))), vec![traced]);
        assert_eq!(text, r#"{"returned":1,"calls":[{"tool":"tools.a.b","calls":2,"ms":5}]}"#);
        let text = answer(&finished(Ok(Returned(None))), Vec::new());
        assert!(text.contains("End it with return"), "{text}");
    }

    #[test]
    fn a_value_that_is_too_long_is_begun_and_its_length_told() {
        let long = format!("\"{}\"", "é".repeat(100_000));
        let text = answer(&finished(Ok(Returned(Some(long)))), Vec::new());
        assert!(text.len() < 10_000 && text.contains("200002 bytes"), "{}", text.len());
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_a_way_out() {
        let stopped = Stopped::Threw { message: "SyntaxError: x".to_owned(), line: Some(3), code: None };
        let text = answer(&finished(Err(stopped)), Vec::new());
        assert!(text.contains(r#""line":3"#) && text.contains("no types"), "{text}");
        let message = "ReferenceError: fetch is not defined".to_owned();
        let text = answer(&finished(Err(Stopped::Threw { message, line: Some(1), code: None })), Vec::new());
        assert!(text.contains("there is no network"), "{text}");
    }

    #[test]
    fn code_may_come_as_it_stands_in_a_text() {
        let plain = |code: &str| without_fence(code.to_owned());
        assert_eq!(plain("```js\nreturn 1\n```\n"), "\nreturn 1\n");
        assert_eq!(plain("```\nreturn `a`\n```"), "\nreturn `a`\n");
        assert_eq!(plain("return ```\na```"), "return ```\na```");
        assert_eq!(plain("``` a b\n```"), "``` a b\n```");
    }

    #[test]
    fn an_unknown_tool_comes_with_the_names_that_are_near() {
        let names = ["list_issues", "create_issue", "get_user"].map(str::to_owned);
        let text = unknown("github", "create_issues", &names);
        assert!(text.contains("Did you mean create_issue"), "{text}");
    }
}
