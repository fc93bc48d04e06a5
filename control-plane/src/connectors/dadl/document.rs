//! The document as a whole: version, requirements, backend, set-up texts, and the order in which its parts are read.

use std::collections::{HashMap, HashSet};

use toolmesh_proto::access::Access;
use toolmesh_proto::v1;
use url::Url;

use super::auth::{self, Auth};
use super::diagnostic::{Report, quote};
use super::fields::{Field, Fields, one_of};
use super::tool::{self, Context, Outcome, Ready};
use super::types::{self, Types};
use super::yaml::Node;
use super::{About, Compiled, Coverage, Example, Setup, composites, health, probe, rules, text};

const SPEC_URLS: [&str; 4] = [
    "https://dadl.ai/spec/dadl-spec-v0.1.md",
    "https://dadl.ai/spec/dadl-spec-v0.1",
    "https://dadl.ai/spec/dadl-spec-v0.2.md",
    "https://dadl.ai/spec/dadl-spec-v0.2",
];

/// Level of the language that is read, in the version numbers that `requires.toolmesh` speaks of.
const LANGUAGE_LEVEL: [u64; 3] = [0, 4, 1];

/// Features of `requires.features` that are executed.
const FEATURES: &[&str] = &[
    "returns",
    "deprecation",
    "composites",
    "health",
    "idempotency",
    "file_url",
    "refresh_token",
    "refresh_token_rotation",
    "jwt_bearer",
    "authorization_code",
    "semantic_errors",
    "redact",
];

/// Most examples that nodes get, and most bytes of one.
const MAX_EXAMPLES: usize = 10;
const MAX_EXAMPLE: usize = 4 << 10;

/// Reads a whole document. `None` only after errors.
pub(super) fn read(root: &Node, report: &mut Report) -> Option<Compiled> {
    let root = Field { node: root, path: String::new() };
    if root.node.is_null() {
        root.error(report, "the document is empty", "start with `spec:` and `backend:`");
        return None;
    }
    let mut fields = root.fields(report)?;
    read_spec(&mut fields, report);
    if let Some(field) = fields.get("requires") {
        read_requires(&field, report);
    }
    let about = About {
        credits: fields.texts("credits", report),
        source_name: fields.text("source_name", report).map(|t| text::clean(&t)).unwrap_or_default(),
        source_url: fields.text("source_url", report).unwrap_or_default(),
        date: fields.text("date", report).unwrap_or_default(),
    };
    if let Some(field) = fields.get("includes").filter(|field| !field.items(report).is_empty()) {
        field.error(report, "other files are not read", "copy their contents into this file");
    }
    let backend = fields.need("backend", report, "describe the API under `backend:`");
    // Keys that start with an underscore hold anchors.
    let hidden = root.node.keys_with_prefix('_');
    fields.finish_except(&hidden, report);
    read_backend(&backend?, about, report)
}

/// The credentials of a document and its help with them; what is wrong with it is told when it is compiled.
pub(super) fn setup(root: &Node) -> Setup {
    let mut report = Report::new("");
    let root = Field { node: root, path: String::new() };
    let backend = root.fields(&mut report).and_then(|mut fields| fields.get("backend"));
    let Some(mut fields) = backend.and_then(|field| field.fields(&mut report)) else {
        return Setup::default();
    };
    let credentials = auth::read(fields.get("auth"), &mut report).credentials;
    let setup = fields.get("setup").map(|field| read_setup(&field, &mut report)).unwrap_or_default();
    Setup { credentials, ..setup }
}

fn read_spec(fields: &mut Fields<'_>, report: &mut Report) {
    let help = format!("write spec: {}", SPEC_URLS[2]);
    let Some(field) = fields.need("spec", report, &help) else { return };
    let Some(spec) = field.text(report) else { return };
    if !SPEC_URLS.contains(&spec.as_str()) {
        field.error(report, format!("{} is not a version of DADL that is read", quote(&spec)), help);
    }
}

fn read_requires(field: &Field<'_>, report: &mut Report) {
    let Some(mut fields) = field.fields(report) else { return };
    if let Some(field) = fields.get("toolmesh") {
        let range = field.text(report).unwrap_or_default();
        match satisfies(&range) {
            Some(true) => {}
            Some(false) => {
                let [major, minor, patch] = LANGUAGE_LEVEL;
                let message =
                    format!("asks for {range}; this version reads DADL up to {major}.{minor}.{patch}");
                field.error(report, message, "");
            }
            None => {
                field.error(report, format!("{} is not a range of versions", quote(&range)), "write >=0.3.0");
            }
        }
    }
    for item in fields.get("features").map(|field| field.items(report)).unwrap_or_default() {
        let Some(feature) = item.text(report) else { continue };
        if !FEATURES.contains(&feature.as_str()) {
            let message = format!("{} is required, but not executed by this version", quote(&feature));
            item.error(report, message, format!("it executes {}", FEATURES.join(", ")));
        }
    }
    fields.finish_closed(report);
}

/// Whether a range such as `>=0.3.0, <1` holds our level; `None` if it is no range.
fn satisfies(range: &str) -> Option<bool> {
    let mut holds = true;
    for part in range.split(',').map(str::trim) {
        let digits = part.find(|c: char| c.is_ascii_digit())?;
        let (operator, version) = part.split_at(digits);
        let mut wanted = [0; 3];
        let numbers: Vec<&str> = version.trim().split('.').collect();
        if numbers.len() > 3 {
            return None;
        }
        for (slot, number) in wanted.iter_mut().zip(numbers) {
            *slot = number.parse().ok()?;
        }
        holds &= match operator.trim() {
            ">=" => LANGUAGE_LEVEL >= wanted,
            ">" => LANGUAGE_LEVEL > wanted,
            "<=" => LANGUAGE_LEVEL <= wanted,
            "<" => LANGUAGE_LEVEL < wanted,
            "=" | "==" | "" => LANGUAGE_LEVEL == wanted,
            _ => return None,
        };
    }
    Some(holds)
}

fn read_backend(field: &Field<'_>, about: About, report: &mut Report) -> Option<Compiled> {
    let mut fields = field.fields(report)?;
    let name =
        fields.need("name", report, "give the API a short name").and_then(|field| read_name(&field, report));
    if fields.need("type", report, "write `type: rest`").is_some() {
        fields.word("type", &["rest"], report);
    }
    let version = fields.text("version", report).unwrap_or_default();
    let base_url = fields.get("base_url").map(|field| read_base_url(&field, report)).unwrap_or_default();
    let description = fields.need("description", report, "say in one sentence what the API is for");
    let description = description.and_then(|field| field.text(report)).map(|text| text::clean(&text));
    let auth_field = fields.get("auth");
    if auth_field.is_none() {
        let path = format!("{}.auth", fields.path);
        report.warn(
            fields.at,
            &path,
            "is missing; no credential is sent",
            "write `auth: {type: none}` to say so",
        );
    }
    let auth = auth::read(auth_field, report);
    let defaults = rules::read_defaults(fields.get("defaults"), &auth, report);
    let hints = read_hints(fields.get("hints"), report);
    let coverage = fields.get("coverage").and_then(|field| read_coverage(&field, report));
    let mut setup = fields.get("setup").map(|field| read_setup(&field, report)).unwrap_or_default();
    let health = fields.get("health").and_then(|field| health::read(&field, report));
    let tools = fields.need("tools", report, "describe at least one tool");
    let composites = fields.get("composites");
    let types = types::read(fields.get("types").as_ref(), report);
    let examples = read_examples(fields.get("examples"), report);
    // Whoever writes this means to keep something out, and has to know that it does not.
    if let Some(scoping) = fields.get("scoping") {
        let help = "switch tools off where the connector is enabled, and leave it out here";
        scoping.warn(report, "is not part of the language and limits nothing", help);
    }
    fields.skip(&["openapi_source", "arazzo_source"]);
    fields.finish(report);

    let tools = tools?;
    let ready = read_tools(&tools, &auth, &defaults, &types, &hints, report);
    let callable = callable_tools(&tools, &ready, report);
    let composed = composites::read(composites, &callable, report);
    let check = health.as_ref().and_then(|health| health.tool(&ready, &defaults, report));
    let (probe_tool, probe_arguments_json) = match &check {
        Some(tool) => (tool.name.clone(), String::new()),
        None => probe::choose(&ready),
    };
    let title = if about.source_name.is_empty() { None } else { Some(about.source_name.clone()) };
    let name = name?;
    setup.credentials = auth.credentials;
    let off = ready.iter().filter(|ready| ready.default_off);
    let default_off = off.map(|ready| ready.tool.name.clone()).chain(composed.default_off).collect();
    let connector = v1::Connector {
        title: title.unwrap_or_else(|| text::title(&name)),
        name,
        description: description.unwrap_or_default(),
        version,
        base_url,
        auth: Some(v1::Auth { kind: Some(auth.kind), optional: auth.optional, also: auth.also }),
        default_headers: defaults.headers,
        tools: ready.into_iter().map(|ready| ready.tool).chain(composed.tools).collect(),
        probe_tool,
        probe_arguments_json,
        examples: for_models(&examples),
        health: None,
        types_json: types.all().map(|all| all.to_string()).unwrap_or_default(),
        server: None,
    };
    let exposed = health.is_some_and(|health| health.exposed);
    let connector = with_health(connector, check, exposed);
    Some(Compiled {
        connector,
        warnings: Vec::new(),
        left_out: composed.left_out,
        default_off,
        examples,
        setup,
        coverage,
        about,
    })
}

/// Adds the call that tells whether the API is well. A tool of the author's own with its name stays the one that callers see.
fn with_health(mut connector: v1::Connector, check: Option<v1::Tool>, exposed: bool) -> v1::Connector {
    let Some(check) = check else { return connector };
    if exposed && connector.tools.iter().all(|tool| tool.name != check.name) {
        connector.tools.push(check.clone());
    }
    connector.health = Some(check);
    connector
}

fn read_name(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let name = field.text(report)?;
    let fits = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        let help = "use lower-case letters, digits and `-`, and start with a letter";
        field.error(report, format!("{} is not a name of a connector", quote(&name)), help);
        return None;
    }
    Some(name)
}

fn read_base_url(field: &Field<'_>, report: &mut Report) -> String {
    let Some(text) = field.text(report) else { return String::new() };
    let text = text.trim();
    if text.contains(['{', '$']) {
        let message = "holds a placeholder; every installation names its own base URL";
        field.warn(report, message, "leave base_url out where the API is self-hosted");
        return String::new();
    }
    let problem = match Url::parse(text) {
        Err(_) => Some("is not a URL"),
        Ok(url) if !matches!(url.scheme(), "https" | "http") => Some("must start with https://"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Some("must not hold a user name or password")
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => Some("must not hold `?` or `#`"),
        Ok(_) => None,
    };
    if let Some(problem) = problem {
        field.error(report, problem, "write it as https://host/path");
        return String::new();
    }
    text.to_owned()
}

fn read_tools(
    field: &Field<'_>,
    auth: &Auth,
    defaults: &rules::Defaults,
    types: &Types,
    hints: &HashMap<String, String>,
    report: &mut Report,
) -> Vec<Ready> {
    let children = field.children(report);
    let names: HashSet<&str> = children.iter().map(|(key, _)| key.name.as_str()).collect();
    let context = Context { auth, defaults, names, types };
    let mut ready = Vec::new();
    let had = report.error_count();
    for (key, child) in &children {
        match tool::read(&key.name, key.at, child, &context, report) {
            Outcome::Ready(mut read) => {
                if let Some(hint) = hints.get(&key.name) {
                    tool::append(&mut read.tool.description, hint);
                }
                ready.push(*read);
            }
            Outcome::Broken => {}
        }
    }
    if ready.is_empty() && report.error_count() == had {
        field.error(report, "holds no tool", "describe at least one tool");
    }
    ready
}

/// What is there to be called by composites.
fn callable_tools<'a>(field: &Field<'a>, ready: &'a [Ready], report: &mut Report) -> composites::Tools<'a> {
    let declared = field.children(report).into_iter().map(|(key, _)| key.name.as_str()).collect();
    let access = |ready: &'a Ready| (ready.tool.name.as_str(), Access::parse(&ready.tool.access));
    composites::Tools { declared, ready: ready.iter().map(access).collect() }
}

/// Examples for models to read; those that are too long to be of use are passed over.
fn for_models(examples: &[Example]) -> Vec<v1::Example> {
    let fitting = examples.iter().filter(|example| (1..=MAX_EXAMPLE).contains(&example.code.len()));
    let sent = |example: &Example| v1::Example {
        name: example.name.clone(),
        description: example.description.clone(),
        code: example.code.clone(),
    };
    fitting.take(MAX_EXAMPLES).map(sent).collect()
}

/// Hints as one line per tool. Some files hint at tools they do not have; those are passed over.
fn read_hints(field: Option<Field<'_>>, report: &mut Report) -> HashMap<String, String> {
    let mut hints = HashMap::new();
    for (key, child) in field.map(|field| field.children(report)).unwrap_or_default() {
        let mut notes = Vec::new();
        for (name, hint) in child.children(report) {
            if let Some(value) = hint.node.text() {
                notes.push(format!("{}: {}", text::clean(&name.name), text::clean(&value)));
            }
        }
        hints.insert(key.name.clone(), format!("Note: {}", notes.join("; ")));
    }
    hints
}

/// What people may ask for, each with the code that answers it.
fn read_examples(field: Option<Field<'_>>, report: &mut Report) -> Vec<Example> {
    let mut examples = Vec::new();
    for item in field.map(|field| field.items(report)).unwrap_or_default() {
        let Some(mut fields) = item.fields(report) else { continue };
        // Its lines are part of the code.
        let code = fields.text("code", report).unwrap_or_default();
        let mut text = |key| fields.text(key, report).map(|text| text::clean(&text)).unwrap_or_default();
        examples.push(Example { name: text("name"), description: text("description"), code });
        fields.finish(report);
    }
    examples
}

fn read_coverage(field: &Field<'_>, report: &mut Report) -> Option<Coverage> {
    let mut fields = field.fields(report)?;
    let mut word = |name| fields.get(name).and_then(|f: Field<'_>| f.node.text().map(|t| text::clean(&t)));
    let coverage = Coverage {
        focus: word("focus").unwrap_or_default(),
        missing: word("missing").unwrap_or_default(),
        last_reviewed: word("last_reviewed").unwrap_or_default(),
        percentage: word("percentage").and_then(|text| text.parse().ok()).filter(|percent| *percent <= 100),
    };
    fields.skip(&["endpoints", "total_endpoints"]);
    fields.finish(report);
    Some(coverage)
}

fn read_setup(field: &Field<'_>, report: &mut Report) -> Setup {
    let Some(mut fields) = field.fields(report) else { return Setup::default() };
    let mut setup = Setup {
        credentials: Vec::new(),
        steps: fields.texts("credential_steps", report).iter().map(|step| text::clean(step)).collect(),
        required_scopes: fields.texts("required_scopes", report),
        optional_scopes: fields.texts("optional_scopes", report),
        docs_url: String::new(),
        notes: fields.text("notes", report).map(|notes| text::clean(&notes)).unwrap_or_default(),
    };
    if let Some(field) = fields.get("docs_url") {
        let text = field.text(report).unwrap_or_default();
        if Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "https" | "http")) {
            setup.docs_url = text;
        } else {
            field.warn(report, "is not a web address and is not shown", one_of(&["https://…"]));
        }
    }
    fields.skip(&["env_var", "backends_yaml"]);
    fields.finish(report);
    setup
}
