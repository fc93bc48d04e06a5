//! Composites: tools that are JavaScript over the other tools of their document.
//!
//! Owns what is checked before a node runs any of it: names, time, that the code can be read, and which tools it calls,
//! which decides its access class where the author names none.

mod names;
mod syntax;

use std::collections::{HashMap, HashSet};

use toolmesh_proto::access::Access;
use toolmesh_proto::v1;

use self::names::Named;
use super::diagnostic::{Report, quote};
use super::fields::{Field, Fields, is_near};
use super::yaml::Key;
use super::{LeftOut, params, text, tool};

/// Longest a composite may take, and what it takes without a word; in milliseconds.
const MOST_MILLIS: u32 = 120_000;
const USUAL_MILLIS: u32 = 30_000;
/// Longest code, in bytes.
const CODE_BYTES: usize = 256 << 10;

/// What composites may call.
pub(super) struct Tools<'a> {
    /// All tools of the document, those that are left out included.
    pub declared: HashSet<&'a str>,
    /// Those that a node can call, with their access classes.
    pub ready: HashMap<&'a str, Access>,
}

/// What became of the composites of a document.
#[derive(Default)]
pub(super) struct Composed {
    pub tools: Vec<v1::Tool>,
    pub left_out: Vec<LeftOut>,
    /// Names of those that enabling the connector leaves switched off.
    pub default_off: Vec<String>,
}

/// One that a node can run.
struct Ready {
    tool: v1::Tool,
    default_off: bool,
}

/// Reads `composites`.
pub(super) fn read(field: Option<Field<'_>>, tools: &Tools<'_>, report: &mut Report) -> Composed {
    let mut composed = Composed::default();
    let children = field.map(|field| field.children(report)).unwrap_or_default();
    let names: HashSet<&str> = children.iter().map(|(key, _)| key.name.as_str()).collect();
    for (key, child) in children {
        let had = report.error_count();
        let read = read_one(key, &child, tools, &names, report);
        if report.error_count() > had {
            continue;
        }
        match read {
            Some(Ok(Ready { tool, default_off })) => {
                composed.default_off.extend(default_off.then(|| tool.name.clone()));
                composed.tools.push(tool);
            }
            Some(Err(reason)) => composed.left_out.push(LeftOut { tool: key.name.clone(), reason }),
            None => {}
        }
    }
    composed
}

/// A composite, or why it is left out; `None` after errors.
fn read_one(
    key: &Key,
    child: &Field<'_>,
    tools: &Tools<'_>,
    composites: &HashSet<&str>,
    report: &mut Report,
) -> Option<Result<Ready, String>> {
    let mut fields = child.fields(report)?;
    if !tool::is_name(&key.name) {
        let help = "use letters, digits, `_` and `-`, at most 96";
        report.error(key.at, &child.path, format!("{} is not a name of a tool", quote(&key.name)), help);
    }
    if tools.declared.contains(key.name.as_str()) {
        report.error(key.at, &child.path, "has the name of a tool", "give the composite another name");
    }
    let description = fields.need("description", report, "say in one or two sentences what it does");
    let description = description.and_then(|field| field.text(report)).map(|text| text::clean(&text));
    let code = fields.need("code", report, "write JavaScript that calls tools as `await api.name({…})`");
    let read = params::read_placeless(fields.get("params").as_ref(), report);
    let timeout_millis =
        fields.get("timeout").and_then(|field| read_time(&field, report)).unwrap_or(USUAL_MILLIS);
    let listed = read_depends_on(&mut fields, tools, report);
    let declared = fields.get("access").map(|_| tool::read_access(&mut fields, report));
    let default_off = fields.boolean("x-default-off", report).unwrap_or_default();
    fields.skip(&["delegates"]);
    fields.finish(report);
    let code = code?;
    let source = read_code(&code, report)?;
    let calls = called(&code, &source, listed, (tools, composites), report);
    if let Some(missing) = calls.iter().find(|name| !tools.ready.contains_key(name.as_str())) {
        return Some(Err(format!("calls {missing}, which this version does not execute")));
    }
    let access = access(declared, &calls, tools);
    let tool = v1::Tool {
        title: text::title(&key.name),
        name: key.name.clone(),
        description: description?,
        access,
        input_schema_json: read.schema().to_string(),
        hidden: key.name.starts_with('_'),
        call: Some(v1::tool::Call::Composite(v1::Composite {
            code: source,
            params: read.list,
            calls,
            timeout_millis,
        })),
        ..Default::default()
    };
    Some(Ok(Ready { tool, default_off }))
}

fn read_code(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let source = field.text(report)?;
    if source.trim().is_empty() {
        field.error(report, "is empty", "end it with `return` and a value");
        return None;
    }
    if source.len() > CODE_BYTES {
        field.error(report, "has more than 256 KiB", "make several composites of it");
        return None;
    }
    if let Some(problem) = syntax::problem(&source) {
        field.error(report, problem, "write plain JavaScript, without types or imports");
        return None;
    }
    Some(source)
}

fn read_depends_on(fields: &mut Fields<'_>, tools: &Tools<'_>, report: &mut Report) -> Vec<String> {
    let mut listed = Vec::new();
    for item in fields.get("depends_on").map(|field| field.items(report)).unwrap_or_default() {
        let Some(name) = item.text(report) else { continue };
        if tools.declared.contains(name.as_str()) {
            listed.push(name);
        } else {
            item.error(
                report,
                format!("there is no tool {}", quote(&name)),
                "name tools that are no composites",
            );
        }
    }
    listed
}

/// Which tools the code can call: those it names, or all where it picks them while it runs.
fn called(
    field: &Field<'_>,
    source: &str,
    listed: Vec<String>,
    (tools, composites): (&Tools<'_>, &HashSet<&str>),
    report: &mut Report,
) -> Vec<String> {
    let mut calls = listed;
    let Named { names, by_value } = names::of_api(source);
    for name in names {
        if composites.contains(name.as_str()) && !tools.declared.contains(name.as_str()) {
            let help = "write what both do into each of them; a composite calls tools alone";
            field.error(report, format!("calls api.{name}, which is a composite"), help);
        } else if !tools.declared.contains(name.as_str()) {
            let near = tools.declared.iter().find(|tool| is_near(tool, &name));
            let help = near.map(|near| format!("did you mean api.{near}?")).unwrap_or_default();
            field.error(report, format!("calls api.{name}, and there is no such tool"), help);
        } else if !calls.contains(&name) {
            calls.push(name);
        }
    }
    if by_value {
        let mut all: Vec<&str> =
            tools.ready.keys().copied().filter(|name| !calls.iter().any(|c| c == name)).collect();
        all.sort_unstable();
        calls.extend(all.into_iter().map(str::to_owned));
    }
    calls
}

/// The author's word, or else the farthest reach of what is called; code that calls nothing only reads.
fn access(declared: Option<String>, calls: &[String], tools: &Tools<'_>) -> String {
    let derived = || calls.iter().filter_map(|name| tools.ready.get(name.as_str())).max();
    declared
        .filter(|word| !word.is_empty())
        .unwrap_or_else(|| derived().unwrap_or(&Access::Read).as_str().to_owned())
}

fn read_time(field: &Field<'_>, report: &mut Report) -> Option<u32> {
    let text = field.text(report)?;
    let millis = millis(&text).filter(|millis| (1..=MOST_MILLIS).contains(millis));
    if millis.is_none() {
        let message = format!("{} is not a time up to 120s", quote(&text));
        field.error(report, message, "write one such as 30s or 1m30s");
    }
    millis
}

/// A time such as `30s`, `1m30s`, `500ms` or `1.5s`, in milliseconds.
fn millis(text: &str) -> Option<u32> {
    let mut rest = text.trim();
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest.get(end..)?;
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let factor = match rest.get(..unit_end)? {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            _ => return None,
        };
        sum += number * factor;
        rest = rest.get(unit_end..)?;
    }
    let whole = sum.round();
    let fits = (1.0..=f64::from(u32::MAX)).contains(&whole);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "only taken where it fits")]
    let millis = whole as u32;
    fits.then_some(millis)
}

#[cfg(test)]
mod tests {
    use super::super::{Compiled, compile};
    use super::*;

    fn document(composites: &str) -> String {
        format!(
            "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nbackend:\n  name: shop\n  type: rest\n  description: A shop.\n  \
             base_url: https://shop.example\n  auth: {{type: none}}\n  tools:\n    list_orders: {{method: GET, path: /orders, \
             access: read, description: L.}}\n    cancel: {{method: POST, path: /cancel, access: dangerous, description: \
             C.}}\n    _raw: {{method: POST, path: /raw, access: write, description: R.}}\n  composites:\n{composites}"
        )
    }

    fn compiled(composites: &str) -> Compiled {
        compile(&document(composites), "test").unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn refused(composites: &str) -> String {
        compile(&document(composites), "test").expect_err("it compiles").to_string()
    }

    fn composite(compiled: &Compiled, name: &str) -> (v1::Tool, v1::Composite) {
        let tool =
            compiled.connector.tools.iter().find(|tool| tool.name == name).expect("it is there").clone();
        let Some(v1::tool::Call::Composite(composite)) = tool.call.clone() else { panic!("{tool:?}") };
        (tool, composite)
    }

    #[test]
    fn a_composite_becomes_a_tool_with_its_parameters_and_defaults() {
        let found = compiled(
            "    top:\n      description: The top orders.\n      timeout: 1m30s\n      params:\n        limit: {type: integer, default: 10, \
             description: How many}\n        who: {type: string, required: true}\n      code: |\n        const all = await \
             api.list_orders({});\n        return all.slice(0, params.limit);\n",
        );
        let (tool, composite) = composite(&found, "top");
        assert_eq!((tool.access.as_str(), tool.hidden, composite.timeout_millis), ("read", false, 90_000));
        assert_eq!(composite.calls, ["list_orders"]);
        assert_eq!(composite.params[0].default_json, "10");
        let schema: serde_json::Value = serde_json::from_str(&tool.input_schema_json).unwrap();
        assert_eq!(schema["properties"]["limit"]["type"], "integer");
        assert_eq!(schema["required"], serde_json::json!(["who"]));
    }

    #[test]
    fn its_access_is_the_farthest_of_what_it_calls_unless_its_author_says_more() {
        for (extra, code, expected) in [
            ("", "return await api.list_orders()", "read"),
            ("", "await api.cancel(); return api.list_orders()", "dangerous"),
            ("", "return api._raw({})", "write"),
            ("depends_on: [cancel], ", "return 1", "dangerous"),
            ("", "return 1", "read"),
            ("", "const f = api; return f.list_orders()", "dangerous"),
            ("", "return api[params.x]()", "dangerous"),
            ("", "return api['list_orders']()", "read"),
            ("", "/* api */ return 'the api said' // api", "read"),
            ("access: admin, ", "return api.list_orders()", "admin"),
        ] {
            let found = compiled(&format!("    both: {{description: B., {extra}code: {code:?}}}\n"));
            assert_eq!(composite(&found, "both").0.access, expected, "{code}");
        }
    }

    #[test]
    fn tools_that_begin_with_an_underscore_are_there_for_composites_alone() {
        let found = compiled("    both: {description: B., code: return api._raw()}\n");
        let raw = found.connector.tools.iter().find(|tool| tool.name == "_raw").unwrap();
        assert!(raw.hidden && found.left_out.is_empty());
        assert_eq!(found.counts().total(), 3, "what clients see");
    }

    #[test]
    fn a_composite_can_begin_switched_off() {
        let found = compiled(
            "    both: {description: B., code: return 1}\n    rare: {description: R., x-default-off: true, code: return 1}\n",
        );
        assert!(found.default_off.iter().eq(["rare"]), "{:?}", found.default_off);
    }

    #[test]
    fn what_is_wrong_with_a_composite_is_named_with_a_way_out() {
        for (composite, part) in [
            ("    cancel: {description: B., code: return 1}\n", "has the name of a tool"),
            ("    a b: {description: B., code: return 1}\n", "not a name"),
            ("    both: {description: B., code: 'return (1'}\n", "SyntaxError"),
            ("    both: {description: B., code: 'const a: string = 1'}\n", "plain JavaScript"),
            ("    both: {description: B., code: ''}\n", "code"),
            ("    both: {code: return 1}\n", "description"),
            ("    both: {description: B., code: return api.nothing()}\n", "api.nothing"),
            ("    both: {description: B., code: return api.list_order()}\n", "did you mean api.list_orders?"),
            (
                "    one: {description: B., code: return 1}\n    both: {description: B., code: return api.one()}\n",
                "is a composite",
            ),
            ("    both: {description: B., code: return 1, depends_on: [both]}\n", "there is no tool"),
            ("    both: {description: B., code: return 1, timeout: 3h}\n", "120s"),
            ("    both: {description: B., code: return 1, timeout: 121s}\n", "120s"),
            ("    both: {description: B., code: return 1, timeout: 0s}\n", "120s"),
            ("    both: {description: B., code: return 1, params: {a: {type: text}}}\n", "not a type"),
        ] {
            let errors = refused(composite);
            assert!(errors.contains(part), "{composite}: {errors}");
        }
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, expected) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1.5s", Some(1500)),
            ("5", None),
            ("s", None),
            ("", None),
            ("1h", None),
            ("9999999999999s", None),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }
}
