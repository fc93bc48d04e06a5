//! From arguments to a request.
//!
//! Whatever a caller says stays in its place: a path value cannot leave its segment, a query value its parameter, a header
//! value its line. Knows nothing of tenants and never sends.

use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::{Map, Value};
use url::Url;

use super::plan::{Body, Param, ParamPlace, Plan, Segment};
use super::style::Style;
use super::{encode, style};
use crate::execute::credentials::Placement;
use crate::execute::outbound::{Field, FieldContent, FileSource, Multipart, OutboundRequest, Payload};

/// An argument that cannot be sent, by name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("/{name}: {reason}")]
pub struct ArgumentError {
    pub name: String,
    pub reason: &'static str,
}

/// Most files of one argument.
const MOST_FILES: usize = 20;

type Arguments = Map<String, Value>;

/// A request without its credential. One logical call has one draft: its retries, and a try with a fresh credential, are
/// the same request, idempotency key and all.
#[derive(Clone)]
pub struct Draft {
    method: Method,
    url: Url,
    query: String,
    headers: HeaderMap,
    body: Option<Payload>,
}

impl Draft {
    /// The request as it leaves, with the credential in its place.
    #[must_use]
    pub fn signed(&self, credential: &Placement) -> OutboundRequest {
        let Self { method, mut url, mut query, mut headers, body } = self.clone();
        credential.apply(&mut headers, &mut query);
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        OutboundRequest { method, url, headers, body }
    }
}

/// Fills in a plan. `base` is the installation's base URL, `defaults` are the connector's headers.
///
/// # Errors
/// Names the argument that cannot be sent.
pub fn draft(
    plan: &Plan,
    base: &Url,
    defaults: &HeaderMap,
    arguments: &Arguments,
) -> Result<Draft, ArgumentError> {
    let mut headers = defaults.clone();
    header_params(plan, arguments, &mut headers)?;
    cookie_params(plan, arguments, &mut headers)?;
    let body = body(plan, arguments, &mut headers)?;
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json, */*;q=0.5"));
    if let Some(name) = &plan.idempotency {
        headers.insert(name.clone(), ascii(&uuid::Uuid::new_v4().to_string()));
    }
    let (url, query) = (path(plan, base, arguments)?, query(plan, arguments)?);
    Ok(Draft { method: plan.method.clone(), url, query, headers, body })
}

/// As [`draft`], with the credential.
///
/// # Errors
/// Names the argument that cannot be sent.
pub fn build(
    plan: &Plan,
    base: &Url,
    defaults: &HeaderMap,
    arguments: &Arguments,
    credential: &Placement,
) -> Result<OutboundRequest, ArgumentError> {
    Ok(draft(plan, base, defaults, arguments)?.signed(credential))
}

/// The header value of a text of ours.
fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn fault(param: &Param, reason: &'static str) -> ArgumentError {
    ArgumentError { name: param.name.clone(), reason }
}

/// The argument or its default; `None` for a missing one that may be missing. Null counts as missing except in a body.
fn value<'a>(param: &'a Param, arguments: &'a Arguments) -> Result<Option<&'a Value>, ArgumentError> {
    let keeps_null = param.place == ParamPlace::Body && !param.file;
    let given = param.given(arguments).filter(|value| !param.fixed && (keeps_null || !value.is_null()));
    match given.or(param.default.as_ref()) {
        None if param.required => Err(fault(param, "is required")),
        value => Ok(value),
    }
}

fn path(plan: &Plan, base: &Url, arguments: &Arguments) -> Result<Url, ArgumentError> {
    let mut path = base.path().trim_end_matches('/').to_owned();
    path.push('/');
    let mut last = None;
    for segment in &plan.path {
        match segment {
            Segment::Literal(text) => path.push_str(text),
            Segment::Value(index) => {
                let Some(param) = plan.params.get(*index) else { continue };
                let value = value(param, arguments)?.ok_or_else(|| fault(param, "is required"))?;
                let written = style::path(&param.wire_name, value, param.style);
                let text = written.ok_or_else(|| fault(param, "must be a text or a number"))?;
                if text.is_empty() || has_dot_segment(&text.plain) {
                    return Err(fault(
                        param,
                        "must not be empty or hold \".\" or \"..\" as a part of a path",
                    ));
                }
                path.push_str(&text.encoded);
                last = Some(param);
            }
        }
    }
    let mut url = base.clone();
    url.set_path(&path);
    url.set_fragment(None);
    // A value that joins the text around it to a dot segment would have made the parser climb.
    match last {
        Some(param) if url.path() != path && has_dot_segment(&path) => {
            Err(fault(param, "must not make a \"..\" of the path"))
        }
        _ => Ok(url),
    }
}

/// Whether a path would climb or stand still for whoever reads it, though it be sent encoded: there are servers that decode
/// a segment before they split the path, take backslashes for slashes, or cut parameters (`..;a`) off.
fn has_dot_segment(path: &str) -> bool {
    let plain = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    plain.split(['/', '\\']).any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

fn query(plan: &Plan, arguments: &Arguments) -> Result<String, ArgumentError> {
    let mut query = plan.fixed_query.clone();
    for param in plan.params.iter().filter(|param| param.place == ParamPlace::Query) {
        if let Some(value) = value(param, arguments)? {
            if style::spread_names(value, param.style).any(|name| plan.is_reserved_query(name)) {
                return Err(fault(param, "must not hold the name of the credential's parameter"));
            }
            style::query(&mut query, &param.wire_name, value, param.style);
        }
    }
    Ok(query)
}

fn header_params(plan: &Plan, arguments: &Arguments, headers: &mut HeaderMap) -> Result<(), ArgumentError> {
    for param in &plan.params {
        let ParamPlace::Header(name) = &param.place else { continue };
        let Some(value) = value(param, arguments)? else { continue };
        let text = style::header(value, param.style);
        if text.is_empty() {
            if param.required {
                return Err(fault(param, "must not be empty"));
            }
            continue;
        }
        let value = HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| fault(param, "must not hold line breaks or control characters"))?;
        headers.insert(name.clone(), value);
    }
    Ok(())
}

/// One `Cookie` header of all pairs. Everything in a pair is encoded, so that no value ends it.
fn cookie_params(plan: &Plan, arguments: &Arguments, headers: &mut HeaderMap) -> Result<(), ArgumentError> {
    let mut pairs = Vec::new();
    for param in plan.params.iter().filter(|param| param.place == ParamPlace::Cookie) {
        let Some(value) = value(param, arguments)? else { continue };
        if style::spread_names(value, param.style).any(|name| plan.is_reserved_cookie(name)) {
            return Err(fault(param, "must not hold the name of the credential's cookie"));
        }
        style::cookie(&mut pairs, &param.wire_name, value, param.style);
    }
    if !pairs.is_empty() {
        headers.insert(COOKIE, ascii(&pairs.join("; ")));
    }
    Ok(())
}

/// Content type: the tool's own, else the connector's default header, else the encoding's. A form of parts has its own
/// always, since it holds the boundary; a file is octets unless the tool says what it is.
fn body(
    plan: &Plan,
    arguments: &Arguments,
    headers: &mut HeaderMap,
) -> Result<Option<Payload>, ArgumentError> {
    let default_type = headers.remove(CONTENT_TYPE);
    let mut fields = Vec::new();
    for param in plan.params.iter().filter(|param| param.place == ParamPlace::Body) {
        if let Some(value) = value(param, arguments)? {
            fields.push((param, value));
        }
    }
    if fields.is_empty() {
        return Ok(None);
    }
    let plain = |bytes: Vec<u8>| Payload::from(bytes);
    let (payload, own_type) = match plan.body {
        Body::None => return Ok(None),
        Body::Json => {
            (plain(Value::Object(object(plan, &fields)?).to_string().into_bytes()), "application/json")
        }
        Body::WholeJson => {
            let whole = fields.first().map(|(_, value)| value.to_string()).unwrap_or_default();
            (plain(whole.into_bytes()), "application/json")
        }
        Body::Form => (plain(form(plan, &fields)?), "application/x-www-form-urlencoded"),
        Body::Text => (plain(texts(&fields)), "text/plain"),
        Body::Raw => (raw(plan, &fields)?, "application/octet-stream"),
        Body::Multipart => {
            let parts = multipart(plan, &fields)?;
            headers.insert(CONTENT_TYPE, ascii(&parts.content_type()));
            return Ok(Some(Payload::Multipart(parts)));
        }
    };
    if matches!(&payload, Payload::Bytes(bytes) if bytes.len() as u64 > plan.max_body) {
        let reason = "these arguments make a larger request than this tool may send";
        return Err(ArgumentError { name: String::new(), reason });
    }
    let default_type = default_type.filter(|_| plan.body != Body::Raw);
    let chosen = plan.content_type.clone().or(default_type);
    headers.insert(CONTENT_TYPE, chosen.unwrap_or_else(|| HeaderValue::from_static(own_type)));
    Ok(Some(payload))
}

fn texts(fields: &[(&Param, &Value)]) -> Vec<u8> {
    fields.iter().map(|(_, value)| encode::text(value)).collect::<String>().into_bytes()
}

fn raw(plan: &Plan, fields: &[(&Param, &Value)]) -> Result<Payload, ArgumentError> {
    match fields {
        [(param, value)] if param.file => Ok(Payload::File(file(plan, param, value)?)),
        _ => Ok(texts(fields).into()),
    }
}

fn multipart(plan: &Plan, fields: &[(&Param, &Value)]) -> Result<Multipart, ArgumentError> {
    let mut parts = Vec::with_capacity(fields.len());
    for (param, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        // Several files, and lists whose style says so, have a part for each.
        let apart = param.file || param.style == Style::Form { explode: true };
        let values = match *value {
            Value::Array(items) if apart => items.as_slice(),
            other => std::slice::from_ref(other),
        };
        if param.file && values.len() > MOST_FILES {
            return Err(fault(param, "holds more than 20 files, which are the most of one request"));
        }
        for value in values {
            let content = if param.file {
                FieldContent::File(file(plan, param, value)?)
            } else {
                FieldContent::Text(encode::text(value))
            };
            parts.push(Field { name: param.wire_name.clone(), content });
        }
    }
    Ok(Multipart::new(parts, plan.max_body))
}

fn file(plan: &Plan, param: &Param, value: &Value) -> Result<FileSource, ArgumentError> {
    let url = value.as_str().ok_or_else(|| fault(param, "must be the http, https or data URL of a file"))?;
    FileSource::parse(&param.name, url, plan.max_body).map_err(|reason| fault(param, reason))
}

fn object(plan: &Plan, fields: &[(&Param, &Value)]) -> Result<Arguments, ArgumentError> {
    let mut object = Map::new();
    for (param, value) in fields {
        if plan.nest_body_keys {
            let keys: Vec<&str> = param.wire_name.split('.').collect();
            nest(&mut object, &keys, value)
                .ok_or_else(|| fault(param, "does not fit beside another argument of the same name"))?;
        } else {
            object.insert(param.wire_name.clone(), (*value).clone());
        }
    }
    Ok(object)
}

fn nest(object: &mut Map<String, Value>, keys: &[&str], value: &Value) -> Option<()> {
    match keys {
        [] => None,
        [last] => object.insert((*last).to_owned(), value.clone()).is_none().then_some(()),
        [first, rest @ ..] => {
            let inner = object.entry(*first).or_insert_with(|| Value::Object(Map::new()));
            nest(inner.as_object_mut()?, rest, value)
        }
    }
}

/// Fields without a style of their own in bracket form, then the others in theirs.
fn form(plan: &Plan, fields: &[(&Param, &Value)]) -> Result<Vec<u8>, ArgumentError> {
    let (styled, plain): (Vec<_>, Vec<_>) =
        fields.iter().copied().partition(|(param, _)| param.style.is_named());
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &object(plan, &plain)? {
        encode::form(&mut out, name, value);
    }
    let mut out = out.finish();
    for (param, value) in styled {
        style::query(&mut out, &param.wire_name, value, param.style);
    }
    Ok(out.into_bytes())
}

#[cfg(test)]
mod tests;
