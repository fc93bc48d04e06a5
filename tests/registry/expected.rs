//! The request that a file describes, worked out step by step, and how it differs from the one that was built.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use toolmesh_data_plane::execute::outbound::{FieldContent, OutboundRequest, Payload};

use crate::BASE;
use crate::document::{Document, Operation, Param, Shown};

/// RFC 3986's unreserved characters stay.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(crate) struct Expected {
    method: String,
    url: String,
    query: Vec<(String, String)>,
    headers: BTreeMap<String, String>,
    body: Body,
    idempotency: Option<String>,
}

enum Body {
    None,
    Json(Value),
    Pairs(Vec<(String, String)>),
    Text(String),
    File,
    /// Names, and texts of those that are no files.
    Parts(Vec<(String, Option<String>)>),
}

/// The secret of a credential.
pub(crate) fn secret(name: &str) -> String {
    format!("s3cret/{name}+=&")
}

impl Expected {
    pub(crate) fn of(
        document: &Document,
        operation: &Operation,
        arguments: &Map<String, Value>,
    ) -> Result<Self> {
        let given = |param: &Param| {
            let given = arguments.get(&param.name).filter(|_| !param.fixed);
            let given = given.filter(|value| param.place == "body" || !value.is_null());
            given.or(param.default.as_ref()).cloned()
        };
        let values: Vec<(&Param, Value)> = operation
            .params
            .iter()
            .filter(|param| param.is_sent(document))
            .filter_map(|param| Some((param, given(param)?)))
            .collect();
        let at = |place: &'static str| values.iter().filter(move |(param, _)| param.place == place);
        let mut path = operation.path.clone();
        for (param, value) in at("path") {
            let encoded = utf8_percent_encode(&plain(value), ENCODED).to_string();
            for name in [&param.name, &param.wire] {
                path = path.replace(&format!("{{{name}}}"), &encoded);
            }
        }
        let mut query = Vec::new();
        at("query").for_each(|(param, value)| spread(&param.wire, value, &mut query));
        let mut headers: BTreeMap<String, String> = document.default_headers().into_iter().collect();
        headers.remove("content-type");
        for (param, value) in at("header") {
            headers.insert(param.wire.to_ascii_lowercase(), listed(value));
        }
        headers.entry("accept".to_owned()).or_insert_with(|| "application/json, */*;q=0.5".to_owned());
        let fields: Vec<(&Param, &Value)> = at("body").map(|(param, value)| (*param, value)).collect();
        let (body, content_type) = body(operation, &fields)?;
        if let Some(content_type) = content_type {
            headers.insert("content-type".to_owned(), content_type);
        }
        let mut cookies = Vec::new();
        for shown in document.shown(&secret) {
            match shown {
                Shown::Header { name, value } => drop(headers.insert(name.to_ascii_lowercase(), value)),
                Shown::Query { name, value } => query.push((name, value)),
                Shown::Cookie { name, value } => cookies.push(format!("{name}={value}")),
            }
        }
        for (param, value) in at("cookie") {
            let each = value.as_array().map_or_else(|| vec![value], |items| items.iter().collect());
            let encoded = |item| utf8_percent_encode(&plain(item), ENCODED).to_string();
            cookies.extend(each.into_iter().map(|item| format!("{}={}", param.wire, encoded(item))));
        }
        if !cookies.is_empty() {
            headers.insert("cookie".to_owned(), cookies.join("; "));
        }
        let url = format!("{BASE}/{}", path.trim_start_matches('/'));
        let idempotency = operation.idempotency.clone().map(|name| name.to_ascii_lowercase());
        Ok(Self { method: operation.method.clone(), url, query, headers, body, idempotency })
    }

    pub(crate) fn compare(mut self, request: &OutboundRequest) -> Result<()> {
        ensure!(request.method == self.method.as_str(), "method {}", request.method);
        let url = request.url.as_str();
        let (whole, query) = url.split_once('?').unwrap_or((url, ""));
        ensure!(whole == self.url, "URL {whole} instead of {}", self.url);
        let mut pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        pairs.sort();
        self.query.sort();
        ensure!(pairs == self.query, "query {pairs:?} instead of {:?}", self.query);
        let mut headers = BTreeMap::new();
        for (name, value) in &request.headers {
            headers.insert(name.to_string(), value.to_str().context("a header value")?.to_owned());
        }
        if let Some(name) = &self.idempotency {
            let key = headers.remove(name).context("no idempotency key")?;
            ensure!(uuid::Uuid::parse_str(&key)?.get_version_num() == 4, "key {key}");
        }
        self.compare_body(request.body.as_ref(), &mut headers)?;
        ensure!(headers == self.headers, "headers {headers:?} instead of {:?}", self.headers);
        Ok(())
    }

    fn compare_body(&self, body: Option<&Payload>, headers: &mut BTreeMap<String, String>) -> Result<()> {
        match (&self.body, body) {
            (Body::None, None) | (Body::File, Some(Payload::File(_))) => Ok(()),
            (Body::Json(wanted), Some(Payload::Bytes(bytes))) => {
                let sent: Value = serde_json::from_slice(bytes)?;
                ensure!(sent == *wanted, "body {sent} instead of {wanted}");
                Ok(())
            }
            (Body::Text(wanted), Some(Payload::Bytes(bytes))) => {
                ensure!(bytes == wanted.as_bytes(), "body {bytes:?} instead of {wanted}");
                Ok(())
            }
            (Body::Pairs(wanted), sent) => {
                let bytes = match sent {
                    Some(Payload::Bytes(bytes)) => bytes.as_ref(),
                    _ => bail!("body {sent:?} instead of a form"),
                };
                let mut pairs: Vec<(String, String)> =
                    url::form_urlencoded::parse(bytes).into_owned().collect();
                let mut wanted = wanted.clone();
                pairs.sort();
                wanted.sort();
                ensure!(pairs == wanted, "form {pairs:?} instead of {wanted:?}");
                Ok(())
            }
            (Body::Parts(wanted), Some(Payload::Multipart(form))) => {
                let sent: Vec<(String, Option<String>)> = form
                    .fields()
                    .iter()
                    .map(|field| match &field.content {
                        FieldContent::Text(text) => (field.name.clone(), Some(text.clone())),
                        FieldContent::File(_) => (field.name.clone(), None),
                    })
                    .collect();
                ensure!(sent == *wanted, "parts {sent:?} instead of {wanted:?}");
                let content_type = headers.remove("content-type").unwrap_or_default();
                ensure!(content_type.starts_with("multipart/form-data; boundary="), "{content_type}");
                Ok(())
            }
            (_, sent) => bail!("body {sent:?} is of another kind"),
        }
    }
}

/// The body and its content type, as the language describes them.
fn body(operation: &Operation, fields: &[(&Param, &Value)]) -> Result<(Body, Option<String>)> {
    if fields.is_empty() {
        return Ok((Body::None, None));
    }
    let declared = operation.params.iter().filter(|param| param.place == "body");
    let (count, files) =
        (declared.clone().count(), declared.filter(|param| param.kind == "file_url").count());
    let written = operation.content_type.clone();
    let essence = written.as_deref().unwrap_or("application/json").split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    if essence == "multipart/form-data" || (files > 0 && count > 1) {
        let present = fields.iter().filter(|(_, value)| !value.is_null());
        let part = |(param, value): &(&Param, &Value)| {
            (param.wire.clone(), (param.kind != "file_url").then(|| plain(value)))
        };
        return Ok((Body::Parts(present.map(part).collect()), None));
    }
    if files == 1 {
        return Ok((Body::File, Some(written.unwrap_or_else(|| "application/octet-stream".to_owned()))));
    }
    let json = essence == "application/json" || essence.ends_with("+json");
    if essence == "application/x-www-form-urlencoded" {
        let mut pairs = Vec::new();
        let object = object(operation, fields)?;
        object.iter().for_each(|(name, value)| bracketed(name, value, &mut pairs));
        return Ok((Body::Pairs(pairs), written));
    }
    if !json && count == 1 {
        return Ok((Body::Text(fields.iter().map(|(_, value)| plain(value)).collect()), written));
    }
    let content_type = written.unwrap_or_else(|| "application/json".to_owned());
    Ok((Body::Json(Value::Object(object(operation, fields)?)), Some(content_type)))
}

fn object(operation: &Operation, fields: &[(&Param, &Value)]) -> Result<Map<String, Value>> {
    let mut object = json!({});
    for (param, value) in fields {
        let mut place = &mut object;
        let keys: Vec<&str> =
            if operation.nested { param.wire.split('.').collect() } else { vec![&param.wire] };
        for key in keys {
            let members = place.as_object_mut().context("a value stands where an object must")?;
            place = members.entry(key).or_insert_with(|| json!({}));
        }
        *place = (*value).clone();
    }
    object.as_object().cloned().context("an object")
}

/// A value as text: as it is, or as JSON where it has parts.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or_default().to_string(),
        other => other.to_string(),
    }
}

fn listed(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => plain(other),
    }
}

/// In a query: a list repeats its key, an object has brackets.
fn spread(key: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Array(items) => pairs.extend(items.iter().map(|item| (key.to_owned(), plain(item)))),
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| spread(&format!("{key}[{name}]"), member, pairs));
        }
        other => pairs.push((key.to_owned(), plain(other))),
    }
}

/// In a form: everything has brackets.
fn bracketed(key: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Array(items) => {
            let mut each = items.iter().enumerate();
            each.by_ref().for_each(|(index, item)| bracketed(&format!("{key}[{index}]"), item, pairs));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| bracketed(&format!("{key}[{name}]"), member, pairs));
        }
        other => pairs.push((key.to_owned(), plain(other))),
    }
}
