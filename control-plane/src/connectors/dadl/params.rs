//! Parameters of a tool, and the JSON Schema that clients see of them.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};
use toolmesh_proto::v1::param::Place;
use toolmesh_proto::v1::{Paging, Param, ParamType, paging::Strategy};

use super::auth::Auth;
use super::diagnostic::{Mark, Report, quote};
use super::extensions::Extensions;
use super::fields::{Field, one_of};
use super::yaml::{Node, Value};
use super::{extensions, headers, names, text};

const TYPES: &[&str] = &["string", "integer", "number", "boolean", "array", "object", "file_url"];
const PLACES: &[&str] = &["path", "query", "header", "body"];
const MAX_NAME: usize = 128;
/// The argument that holds a jq program of the caller's own; nodes know it by this name.
const PROGRAM: &str = "_jq";
/// What a model must know of a parameter that takes a file.
const FILE_NOTE: &str = "Give the http or https URL of the file, which is fetched and sent, or a data: URL that holds a small file.";

/// What a tool takes.
#[derive(Debug, Default)]
pub(super) struct Params {
    pub list: Vec<Param>,
    /// Properties of the input schema, in the order of the file.
    properties: Map<String, Json>,
    /// A parameter is the whole body.
    pub whole_body: bool,
    /// Names that are in the file, those that are ignored included.
    declared: Vec<String>,
    /// Names that an argument cannot have any more.
    taken: HashSet<String>,
}

struct Declared {
    name: String,
    at: Mark,
    place: Place,
    kind: ParamType,
    required: bool,
    default: Option<Json>,
    description: String,
    more: Extensions,
}

/// Reads `params`; `placeholders` are the names in braces of the tool's path.
pub(super) fn read(
    field: Option<&Field<'_>>,
    placeholders: &[String],
    auth: &Auth,
    report: &mut Report,
) -> Params {
    let mut params = Params::default();
    let children = field.map(|field| field.children(report)).unwrap_or_default();
    // A name that is plain in the file stays with its parameter.
    params.taken =
        children.iter().map(|(key, _)| key.name.clone()).filter(|name| names::is_plain(name)).collect();
    for (key, field) in children {
        params.declared.push(key.name.clone());
        check_name(&key.name, key.at, &field, report);
        let in_path = placeholders.contains(&key.name);
        let Some(declared) = read_one(&key.name, key.at, &field, in_path, report) else { continue };
        if is_ignored(&declared, &field, auth, report) {
            continue;
        }
        params.push(declared);
    }
    params
}

/// Reads the `params` of a composite, which go nowhere by themselves.
pub(super) fn read_placeless(field: Option<&Field<'_>>, report: &mut Report) -> Params {
    let mut params = Params::default();
    for (key, field) in field.map(|field| field.children(report)).unwrap_or_default() {
        params.declared.push(key.name.clone());
        check_name(&key.name, key.at, &field, report);
        let Some(mut fields) = field.fields(report) else { continue };
        let kind = fields.need("type", report, &one_of(TYPES));
        let kind = kind.and_then(|field| read_type(&field, report));
        let required = fields.boolean("required", report).unwrap_or_default();
        let default = fields.get("default");
        let description = fields.text("description", report).map(|t| text::clean(&t)).unwrap_or_default();
        let more = extensions::read(&mut fields, report);
        fields.skip(&["in"]);
        fields.finish(report);
        let Some(kind) = kind else { continue };
        let default = default.map(|default| read_default(&default, kind, report));
        let required = required && default.is_none();
        let (name, at, place) = (key.name.clone(), key.at, Place::Unspecified);
        params.push(Declared { name, at, place, kind, required, default, description, more });
    }
    params
}

fn check_name(name: &str, at: Mark, field: &Field<'_>, report: &mut Report) {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        report.error(at, &field.path, "is not a name of a parameter", "use 1 to 128 characters of text");
    }
}

fn read_one(name: &str, at: Mark, field: &Field<'_>, in_path: bool, report: &mut Report) -> Option<Declared> {
    let mut fields = field.fields(report)?;
    let kind = fields.need("type", report, &one_of(TYPES));
    let kind = kind.and_then(|field| read_type(&field, report));
    let place = read_place(fields.get("in"), in_path, at, &field.path, report);
    let required = fields.boolean("required", report).unwrap_or_default();
    let default = fields.get("default");
    let description = fields.text("description", report).map(|t| text::clean(&t)).unwrap_or_default();
    let more = extensions::read(&mut fields, report);
    fields.finish(report);
    let (mut kind, place) = (kind?, place?);
    let place = if more.cookie && place == Place::Header { Place::Cookie } else { place };
    more.check(place, field, report);
    if (place == Place::Path) != in_path {
        mismatch(name, in_path, field, report);
        return None;
    }
    if kind == ParamType::File && place != Place::Body {
        field.warn(report, "is no body; the URL itself is sent", "write `type: string`, or `in: body`");
        kind = ParamType::String;
    }
    let default = default.map(|default| read_default(&default, kind, report));
    if more.fixed && default.is_none() {
        field.error(
            report,
            "is marked x-fixed, but has no default to be sent",
            "write the value as its default",
        );
    }
    let required = (required || place == Place::Path) && default.is_none();
    let name = name.to_owned();
    Some(Declared { name, at, place, kind, required, default, description, more })
}

fn mismatch(name: &str, in_path: bool, field: &Field<'_>, report: &mut Report) {
    if in_path {
        field.error(report, format!("`{{{name}}}` is part of the path"), "write `in: path`");
    } else {
        let help = format!("put `{{{name}}}` into the path, or write `in: query`");
        field.error(report, "is not part of the path", help);
    }
}

fn read_type(field: &Field<'_>, report: &mut Report) -> Option<ParamType> {
    let word = field.text(report)?;
    Some(match word.as_str() {
        "string" => ParamType::String,
        "integer" => ParamType::Integer,
        "number" => ParamType::Number,
        "boolean" => ParamType::Boolean,
        "array" => ParamType::Array,
        "object" => ParamType::Object,
        "file_url" | "file" => ParamType::File,
        other => {
            field.error(report, format!("{} is not a type", quote(other)), one_of(TYPES));
            return None;
        }
    })
}

fn read_place(
    field: Option<Field<'_>>,
    in_path: bool,
    at: Mark,
    path: &str,
    report: &mut Report,
) -> Option<Place> {
    let Some(field) = field else {
        if in_path {
            return Some(Place::Path);
        }
        report.error(at, &format!("{path}.in"), "is missing", one_of(PLACES));
        return None;
    };
    match field.text(report)?.as_str() {
        "path" => Some(Place::Path),
        "query" => Some(Place::Query),
        "header" => Some(Place::Header),
        "body" => Some(Place::Body),
        other => {
            field.error(report, format!("{} is not a place of a parameter", quote(other)), one_of(PLACES));
            None
        }
    }
}

/// The default as JSON. For a text parameter, a bare number counts as it is spelled: `default: 1.10` is "1.10".
fn read_default(field: &Field<'_>, kind: ParamType, report: &mut Report) -> Json {
    let Node { value, .. } = field.node;
    let fits = match kind {
        ParamType::String | ParamType::File => {
            if let Some(text) = field.node.text() {
                return Json::String(text.into_owned());
            }
            false
        }
        ParamType::Integer => matches!(value, Value::Number(n) if n.is_i64() || n.is_u64()),
        ParamType::Number => matches!(value, Value::Number(_)),
        ParamType::Boolean => matches!(value, Value::Bool(_)),
        ParamType::Array => matches!(value, Value::Seq(_)),
        ParamType::Object => matches!(value, Value::Map(_)),
        ParamType::Unspecified => true,
    };
    if !fits {
        let message = format!("is {}, which does not fit the parameter's type", field.node.kind());
        field.warn(report, message, "it is sent as it is");
    }
    field.node.to_json()
}

/// Headers and query parameters that the gateway sets itself are not for callers.
fn is_ignored(declared: &Declared, field: &Field<'_>, auth: &Auth, report: &mut Report) -> bool {
    let wire = declared.more.wire_name.as_str();
    let name = if wire.is_empty() { declared.name.as_str() } else { wire };
    let reserved = match declared.place {
        Place::Header if !headers::is_name(name) => {
            report.error(declared.at, &field.path, format!("{} is not a header name", quote(name)), "");
            true
        }
        Place::Header => {
            let own = headers::is_reserved(name) || auth.owns_header(name);
            own || name.eq_ignore_ascii_case("content-type")
        }
        Place::Query => auth.owns_query(name),
        Place::Cookie if !headers::is_cookie_name(name) => {
            let message = format!("{} is not a name of a cookie", quote(name));
            report.error(declared.at, &field.path, message, "");
            return true;
        }
        Place::Cookie => auth.owns_cookie(name),
        Place::Path | Place::Body | Place::Unspecified => false,
    };
    if reserved && (declared.place != Place::Header || headers::is_name(name)) {
        let message = "is set by the gateway; callers do not see this parameter";
        report.warn(declared.at, &field.path, message, "");
    }
    reserved
}

impl Params {
    fn push(&mut self, declared: Declared) {
        let Declared { name: declared, place, kind, required, default, description, more, .. } = declared;
        let name = names::plain(&declared, &self.taken);
        self.taken.insert(name.clone());
        if !more.fixed {
            let mut property = property(kind, &description, default.as_ref());
            more.refine(&mut property);
            self.properties.insert(name.clone(), Json::Object(property));
        }
        self.whole_body |= more.whole_body;
        let mut param = Param {
            place: place.into(),
            r#type: kind.into(),
            required,
            default_json: default.map(|value| value.to_string()).unwrap_or_default(),
            style: more.style.into(),
            wire_name: more.wire_name,
            fixed: more.fixed,
            ..Param::default()
        };
        if declared != name {
            param.aliases = vec![declared.clone()];
            if param.wire_name.is_empty() {
                param.wire_name = declared;
            }
        }
        param.name = name;
        self.list.push(param);
    }

    /// Whether the file names the parameter, usable or not.
    pub(super) fn declares(&self, name: &str) -> bool {
        self.declared.iter().any(|declared| declared == name)
    }

    pub(super) fn count_in(&self, place: Place) -> usize {
        self.list.iter().filter(|param| param.place() == place).count()
    }

    /// How many of the body's parameters take a file.
    pub(super) fn files(&self) -> usize {
        self.list.iter().filter(|param| param.r#type() == ParamType::File).count()
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        let wire = |param: &Param| {
            if param.wire_name.is_empty() { param.name.clone() } else { param.wire_name.clone() }
        };
        let mut headers = self.list.iter().filter(|param| param.place() == Place::Header);
        headers.any(|param| wire(param).eq_ignore_ascii_case(name))
    }

    /// Adds the arguments that page through a list, where the file does not declare them.
    pub(super) fn add_paging(&mut self, paging: &Paging) {
        let (kind, meaning) = match paging.strategy() {
            Strategy::Cursor => {
                (ParamType::String, "Where to go on: the cursor that the last answer gave.".to_owned())
            }
            Strategy::Offset => {
                (ParamType::Integer, "How many items to skip; 0 for the first page.".to_owned())
            }
            _ => (ParamType::Integer, "Number of the page, from 1.".to_owned()),
        };
        let limit = match paging.limit_default {
            0 => "Most items per page.".to_owned(),
            usual => format!("Most items per page; {usual} is usual."),
        };
        let all = [(&paging.position_param, kind, meaning), (&paging.limit_param, ParamType::Integer, limit)];
        for (name, kind, description) in all {
            if !name.is_empty() && !self.declared.contains(name) {
                self.declared.push(name.clone());
                let (name, at, place) = (name.clone(), Mark::default(), Place::Query);
                let more = Extensions::default();
                self.push(Declared {
                    name,
                    at,
                    place,
                    kind,
                    required: false,
                    default: None,
                    description,
                    more,
                });
            }
        }
    }

    /// Adds the argument for a program of the caller's own, which is no part of the request.
    pub(super) fn add_program(&mut self) {
        let description =
            "A jq program over the result, to get less of it: .[] | {id, name}. Leave it out for all of it.";
        if !self.declared.iter().any(|name| name == PROGRAM) {
            let property = json!({ "type": "string", "maxLength": 4096, "description": description });
            self.properties.insert(PROGRAM.to_owned(), property);
        }
    }

    /// JSON Schema (2020-12) of the arguments.
    pub(super) fn schema(&self) -> Json {
        let required: Vec<&str> =
            self.list.iter().filter(|param| param.required).map(|param| param.name.as_str()).collect();
        let mut schema = json!({ "type": "object", "properties": self.properties });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema["additionalProperties"] = json!(false);
        schema
    }
}

fn property(kind: ParamType, description: &str, default: Option<&Json>) -> Map<String, Json> {
    let mut property = Map::new();
    let word = match kind {
        ParamType::Integer => "integer",
        ParamType::Number => "number",
        ParamType::Boolean => "boolean",
        ParamType::Array => "array",
        ParamType::Object => "object",
        ParamType::String | ParamType::File | ParamType::Unspecified => "string",
    };
    property.insert("type".to_owned(), json!(word));
    if kind == ParamType::Array {
        property.insert("items".to_owned(), json!({}));
    }
    let mut description = description.to_owned();
    if kind == ParamType::File {
        let gap = if description.is_empty() { "" } else { " " };
        description.push_str(gap);
        description.push_str(FILE_NOTE);
    }
    if !description.is_empty() {
        property.insert("description".to_owned(), json!(description));
    }
    if let Some(default) = default {
        property.insert("default".to_owned(), default.clone());
    }
    property
}
