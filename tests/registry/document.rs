//! A DADL file, read without the product's code: what its tools say, with the defaults of the backend beside them.

use anyhow::{Context as _, Result};
use serde_json::{Number, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// Headers that no caller sets.
const NOBODYS: [&str; 6] = ["authorization", "content-length", "content-type", "cookie", "host", "origin"];

pub(crate) struct Document {
    backend: Yaml,
}

/// One tool.
pub(crate) struct Operation {
    pub name: String,
    pub method: String,
    pub path: String,
    pub params: Vec<Param>,
    pub content_type: Option<String>,
    pub nested: bool,
    pub idempotency: Option<String>,
}

pub(crate) struct Param {
    pub name: String,
    /// Its name in the request.
    pub wire: String,
    /// Sent with its default; callers know nothing of it.
    pub fixed: bool,
    pub kind: String,
    pub place: String,
    pub required: bool,
    pub default: Option<Value>,
}

/// How the API wants its credential.
pub(crate) enum Shown {
    Header { name: String, value: String },
    Query { name: String, value: String },
    Cookie { name: String, value: String },
}

impl Document {
    pub(crate) fn read(source: &str) -> Result<Self> {
        let root = YamlLoader::load_from_str(source)?.into_iter().next().context("an empty file")?;
        Ok(Self { backend: root["backend"].clone() })
    }

    /// The tools that anybody may call.
    pub(crate) fn operations(&self) -> Result<Vec<Operation>> {
        let tools = self.backend["tools"].as_hash().context("no tools")?;
        tools.iter().map(|(name, tool)| self.operation(&text(name).context("a name")?, tool)).collect()
    }

    fn operation(&self, name: &str, tool: &Yaml) -> Result<Operation> {
        let defaults = &self.backend["defaults"];
        let params = tool["params"].as_hash().into_iter().flatten();
        let params: Vec<Param> =
            params.map(|(name, param)| Param::read(name, param)).collect::<Result<_>>()?;
        let inherited = text(&defaults["content_type"]).or_else(|| {
            self.default_headers()
                .into_iter()
                .find(|(name, _)| name == "content-type")
                .map(|(_, value)| value)
        });
        let files = params.iter().any(|param| param.kind == "file_url");
        Ok(Operation {
            name: name.to_owned(),
            method: text(&tool["method"]).context("method")?.to_ascii_uppercase(),
            path: text(&tool["path"]).context("path")?,
            content_type: text(&tool["content_type"]).or_else(|| inherited.filter(|_| !files)),
            nested: tool["nest_body_keys"]
                .as_bool()
                .or_else(|| defaults["nest_body_keys"].as_bool())
                .unwrap_or(false),
            idempotency: text(&tool["idempotency"]["header"]),
            params,
        })
    }

    /// Names in lower case.
    pub(crate) fn default_headers(&self) -> Vec<(String, String)> {
        let headers = self.backend["defaults"]["headers"].as_hash().into_iter().flatten();
        headers.filter_map(|(name, value)| Some((text(name)?.to_ascii_lowercase(), text(value)?))).collect()
    }

    /// The credential and the keys beside it, given the secret that goes by a name.
    pub(crate) fn shown(&self, secret: &dyn Fn(&str) -> String) -> Vec<Shown> {
        let auth = &self.backend["auth"];
        let mut all: Vec<Shown> = shown_by(auth, secret).into_iter().collect();
        for beside in auth["x-also"].as_vec().into_iter().flatten() {
            all.extend(key(beside, secret));
        }
        all
    }
}

fn shown_by(auth: &Yaml, secret: &dyn Fn(&str) -> String) -> Option<Shown> {
    let word = |key: &str| text(&auth[key]);
    let kind = word("type").unwrap_or_default();
    match kind.as_str() {
        "bearer" => {
            let name = word("credential").filter(|name| name != "none")?;
            let prefix = word("prefix").unwrap_or_else(|| "Bearer ".into());
            Some(Shown::Header {
                name: header(auth, "authorization"),
                value: format!("{prefix}{}", secret(&name)),
            })
        }
        "basic" => {
            let name = word("username_credential").filter(|name| name != "none")?;
            let password = word("password_credential").filter(|name| name != "none");
            let pair =
                format!("{}:{}", secret(&name), password.map(|name| secret(&name)).unwrap_or_default());
            let coded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
            Some(Shown::Header { name: "authorization".to_owned(), value: format!("Basic {coded}") })
        }
        "apikey" | "api_key" => key(auth, secret),
        _ => None,
    }
}

fn header(auth: &Yaml, usual: &str) -> String {
    text(&auth["header_name"]).filter(|name| !name.is_empty()).unwrap_or_else(|| usual.to_owned())
}

fn key(auth: &Yaml, secret: &dyn Fn(&str) -> String) -> Option<Shown> {
    let word = |key: &str| text(&auth[key]);
    let name = word("credential").filter(|name| name != "none")?;
    let value = format!("{}{}", word("prefix").unwrap_or_default(), secret(&name));
    Some(match (word("x-cookie"), word("inject_into").as_deref()) {
        (Some(name), _) => Shown::Cookie { name, value },
        (None, Some("query")) => Shown::Query { name: word("query_param").unwrap_or_default(), value },
        (None, _) => Shown::Header { name: header(auth, "x-api-key"), value },
    })
}

impl Param {
    fn read(name: &Yaml, param: &Yaml) -> Result<Self> {
        let kind = text(&param["type"]).context("type")?;
        let place = text(&param["in"]).unwrap_or_else(|| "path".to_owned());
        let cookie = param["x-cookie"].as_bool().unwrap_or(false);
        let place = if cookie { "cookie".to_owned() } else { place };
        let default = Some(&param["default"]).filter(|default| !default.is_badvalue() && !default.is_null());
        let default = default.map(|default| match kind.as_str() {
            "string" => text(default).map_or_else(|| json(default), Value::String),
            _ => json(default),
        });
        let kind = if kind == "file" { "file_url".to_owned() } else { kind };
        let required = param["required"].as_bool().unwrap_or(false) || place == "path";
        let name = text(name).context("a name")?;
        let wire = text(&param["x-name"]).unwrap_or_else(|| name.clone());
        let fixed = param["x-fixed"].as_bool().unwrap_or(false);
        Ok(Self { name, wire, fixed, kind, place, required, default })
    }

    /// Whether callers can give it at all.
    pub(crate) fn is_callers(&self, document: &Document) -> bool {
        !self.fixed && self.is_sent(document)
    }

    /// Whether it is in the request at all: some of it is the gateway's own.
    pub(crate) fn is_sent(&self, document: &Document) -> bool {
        let own = document.shown(&|_| String::new()).into_iter().any(|shown| match shown {
            Shown::Header { name, .. } if name.eq_ignore_ascii_case("cookie") && self.place == "cookie" => {
                true
            }
            Shown::Header { name, .. } => self.place == "header" && name.eq_ignore_ascii_case(&self.wire),
            Shown::Query { name, .. } => self.place == "query" && name == self.wire,
            Shown::Cookie { name, .. } => self.place == "cookie" && name.eq_ignore_ascii_case(&self.wire),
        });
        let nobodys = NOBODYS.iter().any(|name| name.eq_ignore_ascii_case(&self.wire));
        !(own || self.place == "header" && nobodys)
    }

    /// Whether a call without it is no call.
    pub(crate) fn is_needed(&self, document: &Document) -> bool {
        self.required && self.default.is_none() && self.is_callers(document)
    }
}

/// A scalar as it is written.
fn text(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Real(text) => text.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::String(text) => Value::String(text.clone()),
        Yaml::Boolean(truth) => Value::Bool(*truth),
        Yaml::Array(items) => Value::Array(items.iter().map(json).collect()),
        Yaml::Hash(members) => {
            members.iter().filter_map(|(name, value)| Some((text(name)?, json(value)))).collect()
        }
        _ => Value::Null,
    }
}
