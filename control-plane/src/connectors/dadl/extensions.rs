//! Keys beyond the language, all beginning with `x-`, so that what an OpenAPI document says survives its translation.
//!
//! On a parameter:
//! - `x-schema`: the JSON Schema (2020-12) that clients see instead of the bare type. Whole: no `$ref`, `$defs` or `$id`.
//! - `x-name`: its name in the request, where clients would refuse it as the name of an argument (`filter[name]`).
//! - `x-style`, `x-explode`: how a list or an object is written: `form`, `spaceDelimited`, `pipeDelimited`, `tabDelimited`,
//!   `deepObject`, `simple`, `label`, `matrix`, `json`; as in OpenAPI, `form` alone is exploded unless it says otherwise.
//! - `x-cookie`: it is no header of its own but a pair of the `Cookie` header (`in: header`).
//! - `x-whole-body`: the one body parameter is the whole JSON body, such as a list.
//! - `x-fixed`: it is always sent with its default, and callers neither see nor set it (the text of a GraphQL query).
//!
//! On a tool: `x-tags`, the groups it belongs to; `x-default-off`, on composites too, enabling the connector leaves it switched off; `x-credential`,
//! `none` for a call that shows no credential, `optional` for one that shows it where there is one.
//! On `errors`: `x-error-path`, where an answer of success has an error if it is one, as GraphQL and some older APIs say no: it
//! is one where this JSONPath finds something other than null, false or an empty list, text or object.
//! On `auth`: `x-optional`, without a credential calls leave without one; `x-cookie`, the name of the cookie that an `apikey` goes
//! into; `x-also`, a list of keys shown beside the credential, each written as an `apikey` is; `x-revoke-url`, where the provider of
//! an `authorization_code` takes tokens back when somebody disconnects (RFC 7009).

use serde_json::{Map, Value as Json};
use toolmesh_proto::v1::param::Place;
use toolmesh_proto::v1::{CredentialUse, ParamStyle};

use super::diagnostic::{Report, quote};
use super::fields::{Field, Fields, one_of};
use super::{response, text};

/// Largest `x-schema`, as compact JSON.
const MAX_SCHEMA: usize = 64 * 1024;
const MAX_WIRE_NAME: usize = 256;
const MAX_TAGS: usize = 8;

/// Keywords that lead out of a schema, or into another part of one.
const LEADING_OUT: &[&str] = &[
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "$id",
    "$schema",
    "$defs",
    "definitions",
    "$anchor",
    "$dynamicAnchor",
    "$vocabulary",
];

const STYLES: &[&str] = &[
    "form",
    "spaceDelimited",
    "pipeDelimited",
    "tabDelimited",
    "deepObject",
    "simple",
    "label",
    "matrix",
    "json",
];

/// What a parameter says beyond the language.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// The schema's keywords.
    schema: Option<Map<String, Json>>,
    pub wire_name: String,
    pub style: ParamStyle,
    pub whole_body: bool,
    pub fixed: bool,
    pub cookie: bool,
}

/// Reads the keys of a parameter.
pub(super) fn read(fields: &mut Fields<'_>, report: &mut Report) -> Extensions {
    let schema = fields.get("x-schema").and_then(|field| read_schema(&field, report));
    let wire_name = fields.get("x-name").and_then(|field| read_name(&field, report));
    let explode = fields.boolean("x-explode", report);
    let style = fields.word("x-style", STYLES, report).map(|word| style(word, explode));
    let whole_body = fields.boolean("x-whole-body", report).unwrap_or_default();
    let fixed = fields.boolean("x-fixed", report).unwrap_or_default();
    let cookie = fields.boolean("x-cookie", report).unwrap_or_default();
    Extensions {
        fixed,
        cookie,
        schema,
        wire_name: wire_name.unwrap_or_default(),
        style: style.unwrap_or_default(),
        whole_body,
    }
}

/// Reads the groups of a tool.
pub(super) fn read_tags(fields: &mut Fields<'_>, report: &mut Report) -> Vec<String> {
    let tags = fields.texts("x-tags", report);
    let mut clean: Vec<String> = tags.iter().map(|tag| text::clean(tag).chars().take(80).collect()).collect();
    clean.retain(|tag: &String| !tag.is_empty());
    clean.truncate(MAX_TAGS);
    clean
}

/// Reads where an answer of success has an error; empty for nowhere.
pub(super) fn refusal_path(fields: &mut Fields<'_>, report: &mut Report) -> String {
    const KEY: &str = "x-error-path";
    let named = fields.take(KEY);
    let path = response::path(fields, KEY, report);
    if let (Some(field), Some("")) = (named, path.as_deref()) {
        field.error(
            report,
            "names the whole answer",
            "name the member that only errors have, such as $.errors",
        );
    }
    path.unwrap_or_default()
}

/// Reads whether a tool shows the credential.
pub(super) fn read_credential_use(fields: &mut Fields<'_>, report: &mut Report) -> CredentialUse {
    match fields.word("x-credential", &["none", "optional"], report) {
        Some("none") => CredentialUse::None,
        Some("optional") => CredentialUse::Optional,
        _ => CredentialUse::Unspecified,
    }
}

fn read_schema(field: &Field<'_>, report: &mut Report) -> Option<Map<String, Json>> {
    let Json::Object(schema) = field.node.to_json() else {
        field.error(report, format!("must be a JSON Schema, not {}", field.node.kind()), "");
        return None;
    };
    let schema = Json::Object(schema);
    if let Some(keyword) = leading_out(&schema) {
        let message = format!("uses {keyword}, which leads out of this schema");
        field.error(report, message, "write the schema out in full");
        return None;
    }
    if schema.to_string().len() > MAX_SCHEMA {
        field.error(report, format!("is larger than {MAX_SCHEMA} bytes"), "describe less of it");
        return None;
    }
    if let Err(reason) = check_schema(&schema) {
        field.error(report, format!("is not a usable JSON Schema: {reason}"), "");
        return None;
    }
    match schema {
        Json::Object(schema) => Some(schema),
        _ => None,
    }
}

/// A keyword that is not read, at any depth. What stands below `properties` are names, not keywords.
fn leading_out(schema: &Json) -> Option<&'static str> {
    match schema {
        Json::Object(members) => members.iter().find_map(|(key, value)| {
            if let Some(keyword) = LEADING_OUT.iter().find(|keyword| **keyword == key) {
                return Some(*keyword);
            }
            match key.as_str() {
                "enum" | "const" | "default" | "examples" | "example" => None,
                "properties" | "patternProperties" | "dependentSchemas" => {
                    value.as_object().into_iter().flat_map(Map::values).find_map(leading_out)
                }
                _ => leading_out(value),
            }
        }),
        Json::Array(items) => items.iter().find_map(leading_out),
        _ => None,
    }
}

/// Whether a node can check arguments with a schema; it builds the same with the same limits.
pub(super) fn check_schema(schema: &Json) -> Result<(), String> {
    use jsonschema::PatternOptions;
    let options = || {
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .offline()
            .should_validate_formats(false)
    };
    let linear = options().with_pattern_options(PatternOptions::regex().size_limit(1 << 20)).build(schema);
    let built = linear.or_else(|_| {
        let limited = PatternOptions::fancy_regex().backtrack_limit(10_000).size_limit(1 << 20);
        options().with_pattern_options(limited).build(schema)
    });
    built.map(|_| ()).map_err(|error| error.to_string().chars().take(200).collect())
}

fn read_name(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let name = field.text(report)?;
    if name.is_empty() || name.len() > MAX_WIRE_NAME || name.chars().any(char::is_control) {
        field.error(report, format!("{} is not a name of a parameter", quote(&name)), "");
        return None;
    }
    Some(name)
}

fn style(word: &str, explode: Option<bool>) -> ParamStyle {
    match (word, explode.unwrap_or(word == "form")) {
        ("form", false) => ParamStyle::Form,
        ("form", true) | ("spaceDelimited" | "pipeDelimited" | "tabDelimited", true) => {
            ParamStyle::FormExplode
        }
        ("spaceDelimited", false) => ParamStyle::SpaceDelimited,
        ("pipeDelimited", false) => ParamStyle::PipeDelimited,
        ("tabDelimited", false) => ParamStyle::TabDelimited,
        ("deepObject", _) => ParamStyle::DeepObject,
        ("simple", false) => ParamStyle::Simple,
        ("simple", true) => ParamStyle::SimpleExplode,
        ("label", false) => ParamStyle::Label,
        ("label", true) => ParamStyle::LabelExplode,
        ("matrix", false) => ParamStyle::Matrix,
        ("matrix", true) => ParamStyle::MatrixExplode,
        ("json", _) => ParamStyle::Json,
        _ => ParamStyle::Unspecified,
    }
}

impl Extensions {
    /// Whether anything here is for this place; an error where it is not.
    pub(super) fn check(&self, place: Place, field: &Field<'_>, report: &mut Report) {
        use ParamStyle as S;
        let allowed = match self.style {
            S::Unspecified | S::Json => true,
            S::Form | S::FormExplode => matches!(place, Place::Query | Place::Cookie | Place::Body),
            S::SpaceDelimited | S::PipeDelimited | S::TabDelimited => {
                matches!(place, Place::Query | Place::Body)
            }
            S::DeepObject => matches!(place, Place::Query | Place::Body),
            S::Simple | S::SimpleExplode => matches!(place, Place::Path | Place::Header),
            S::Label | S::LabelExplode | S::Matrix | S::MatrixExplode => place == Place::Path,
        };
        if !allowed {
            let help = "queries and bodies have form, spaceDelimited, pipeDelimited, deepObject; paths simple, label, matrix; \
                        headers simple; cookies form";
            field.error(report, "names an x-style that its place does not have", help);
        }
        if self.cookie && place != Place::Cookie {
            field.error(report, "is marked x-cookie, but is not in the header", one_of(&["in: header"]));
        }
        if self.whole_body && place != Place::Body {
            field.error(report, "is marked x-whole-body, but is not in the body", one_of(&["in: body"]));
        }
    }

    /// Puts the schema in the place of the bare type; description and default stay the parameter's.
    pub(super) fn refine(&self, property: &mut Map<String, Json>) {
        let Some(schema) = &self.schema else { return };
        property.remove("type");
        property.remove("items");
        let own: Vec<String> = property.keys().cloned().collect();
        let added = schema.iter().filter(|(keyword, _)| !own.contains(keyword));
        let mut refined: Map<String, Json> = added.map(|(key, value)| (key.clone(), value.clone())).collect();
        refined.append(property);
        *property = refined;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};
    use toolmesh_proto::v1::tool::Call;
    use toolmesh_proto::v1::{BodyEncoding, CredentialUse, ParamStyle, RestCall, Tool};

    use super::super::compile;

    fn document(params: &str) -> String {
        format!(
            "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nbackend:\n  name: x\n  type: rest\n  base_url: https://x.example.com\n  \
             description: An API.\n  auth: {{type: none}}\n  tools:\n    a:\n      method: POST\n      path: /a\n      access: write\n      \
             description: Does it all.\n      x-tags: [pets, ' ']\n      params: {params}\n"
        )
    }

    fn tool(params: &str) -> (Tool, RestCall) {
        let compiled = compile(&document(params), "x.dadl").unwrap_or_else(|errors| panic!("{errors}"));
        assert!(compiled.warnings.is_empty(), "{:?}", compiled.warnings);
        let tool = compiled.connector.tools[0].clone();
        let Some(Call::Rest(call)) = tool.call.clone() else { panic!("no call") };
        (tool, call)
    }

    fn refused(params: &str) -> String {
        compile(&document(params), "x.dadl").unwrap_err().to_string()
    }

    #[test]
    fn a_schema_stands_in_the_place_of_the_type_and_keeps_the_description() {
        let (tool, _) = tool(
            "{a: {type: string, in: body, description: Which one., x-schema: {type: [string, 'null'], enum: [x, null], description: Other.}}}",
        );
        let schema: Json = serde_json::from_str(&tool.input_schema_json).unwrap();
        let wanted = json!({"type": ["string", "null"], "enum": ["x", null], "description": "Which one."});
        assert_eq!(schema["properties"]["a"], wanted);
        assert_eq!(tool.tags, ["pets"]);
    }

    #[test]
    fn a_name_on_the_wire_and_a_style_reach_the_call() {
        let (_, call) = tool(
            "{filter_name: {type: array, in: query, x-name: 'filter[name]', x-style: form, x-explode: false}}",
        );
        assert_eq!(call.params[0].wire_name, "filter[name]");
        assert_eq!(call.params[0].style(), ParamStyle::Form);
    }

    #[test]
    fn one_parameter_may_be_the_whole_body() {
        let (_, call) = tool("{items: {type: array, in: body, required: true, x-whole-body: true}}");
        assert_eq!(call.body(), BodyEncoding::WholeJson);
        let two = "{items: {type: array, in: body, x-whole-body: true}, b: {type: string, in: body}}";
        assert!(refused(two).contains("x-whole-body"), "{}", refused(two));
    }

    #[test]
    fn what_a_node_could_not_use_is_refused_with_its_place() {
        for (params, word) in [
            ("{a: {type: object, in: body, x-schema: {$ref: 'https://evil.example/x'}}}", "$ref"),
            ("{a: {type: object, in: body, x-schema: {properties: {b: {$ref: '#/a'}}}}}", "$ref"),
            ("{a: {type: object, in: body, x-schema: {type: nothing}}}", "not a usable JSON Schema"),
            ("{a: {type: string, in: body, x-schema: {pattern: '['}}}", "not a usable JSON Schema"),
            ("{a: {type: object, in: body, x-schema: 5}}", "must be a JSON Schema"),
            ("{a: {type: array, in: query, x-style: matrix}}", "its place does not have"),
            ("{a: {type: array, in: query, x-style: comma}}", "is not known"),
            ("{a: {type: array, in: query, x-whole-body: true}}", "not in the body"),
            ("{a: {type: array, in: query, x-name: ''}}", "is not a name"),
        ] {
            let errors = refused(params);
            assert!(errors.contains(word) && errors.contains("x.dadl:15"), "{params}: {errors}");
        }
    }

    #[test]
    fn a_property_that_is_called_like_a_keyword_is_no_reference() {
        tool("{a: {type: object, in: body, x-schema: {properties: {$ref: {type: string}}}}}");
    }

    #[test]
    fn a_fixed_parameter_is_sent_and_not_shown() {
        let source = document("{query: {type: string, in: body, default: '{ viewer }', x-fixed: true}}");
        let compiled = compile(&source, "x.dadl").unwrap();
        let tool = &compiled.connector.tools[0];
        assert!(!tool.input_schema_json.contains("viewer"), "{}", tool.input_schema_json);
        let Some(Call::Rest(call)) = &tool.call else { panic!("no call") };
        let sent = call.params.iter().find(|param| param.name == "query").unwrap();
        assert!(sent.fixed && sent.default_json.contains("viewer"));
        let nothing = document("{query: {type: string, in: body, x-fixed: true}}");
        assert!(compile(&nothing, "x.dadl").unwrap_err().to_string().contains("has no default to be sent"));
    }

    #[test]
    fn an_answer_of_success_may_be_an_error() {
        let with = |path: &str| {
            document("{q: {type: string, in: query}}").replace(
                "      access: write\n",
                &format!("      access: write\n      errors: {{x-error-path: {path}, message_path: $.m}}\n"),
            )
        };
        let compiled = compile(&with("'$.errors'"), "x.dadl").unwrap();
        assert!(compiled.warnings.is_empty(), "{:?}", compiled.warnings);
        let Some(Call::Rest(call)) = &compiled.connector.tools[0].call else { panic!("no call") };
        assert_eq!(call.errors.as_ref().unwrap().refusal_path, "$.errors");
        for (path, word) in
            [("$", "whole answer"), ("'$..errors'", "x-error-path"), ("[1]", "must be a text")]
        {
            let errors = compile(&with(path), "x.dadl").unwrap_err().to_string();
            assert!(errors.contains(word) && errors.contains("x.dadl:13"), "{path}: {errors}");
        }
    }

    #[test]
    fn a_cookie_is_a_place_of_its_own_with_names_that_a_cookie_can_have() {
        let (_, call) = tool("{lang: {type: string, in: header, x-cookie: true, x-name: 'site-lang'}}");
        let (place, name) = (call.params[0].place(), call.params[0].wire_name.as_str());
        assert_eq!((place, name), (toolmesh_proto::v1::param::Place::Cookie, "site-lang"));
        for (params, word) in [
            ("{lang: {type: string, in: query, x-cookie: true}}", "is not in the header"),
            ("{lang: {type: string, in: header, x-cookie: true, x-name: 'a;b'}}", "not a name of a cookie"),
            ("{'a=b': {type: string, in: header, x-cookie: true}}", "not a name of a cookie"),
            ("{lang: {type: array, in: header, x-cookie: true, x-style: simple}}", "its place does not have"),
        ] {
            assert!(refused(params).contains(word), "{params}: {}", refused(params));
        }
    }

    #[test]
    fn a_tool_says_whether_it_shows_the_credential() {
        for (written, wanted) in [("none", CredentialUse::None), ("optional", CredentialUse::Optional)] {
            let line = format!("      access: write\n      x-credential: {written}\n");
            let source = document("{q: {type: string, in: query}}").replace("      access: write\n", &line);
            let compiled = compile(&source, "x.dadl").unwrap();
            let Some(Call::Rest(call)) = &compiled.connector.tools[0].call else { panic!("no call") };
            assert_eq!(call.credential(), wanted);
            let other = source.replace(&format!("x-credential: {written}"), "x-credential: maybe");
            assert!(compile(&other, "x.dadl").unwrap_err().to_string().contains("is not known"));
        }
    }

    #[test]
    fn a_tool_may_begin_switched_off_and_a_credential_be_optional() {
        let basic = "auth: {type: basic, username_credential: u, password_credential: p, x-optional: true}";
        let source = document("{q: {type: string, in: query}}")
            .replace("      access: write\n", "      access: write\n      x-default-off: true\n")
            .replace("auth: {type: none}", basic);
        let compiled = compile(&source, "x.dadl").unwrap();
        assert!(compiled.default_off.contains(&compiled.connector.tools[0].name), "{source}");
        assert!(compiled.connector.auth.as_ref().is_some_and(|auth| auth.optional), "{source}");
        assert!(compiled.setup.credentials.iter().all(|credential| credential.optional));
        let nothing = source.replace(basic, "auth: {type: none, x-optional: true}");
        assert!(compile(&nothing, "x.dadl").unwrap_err().to_string().contains("cannot be optional"));
    }
}
