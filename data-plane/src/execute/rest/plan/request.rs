//! How the request of a call is written.

use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use toolmesh_proto::v1;
use toolmesh_proto::v1::param::Place;

use super::PlanError;
use super::headers::{is_cookie_name, is_reserved};
use crate::execute::rest::style::Style;

/// No body is larger, whatever a connector says.
const MAX_BODY: u64 = 100 << 20;

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(String),
    /// Index into [`Plan::params`].
    Value(usize),
}

/// An argument and its place in the request.
#[derive(Clone, Debug)]
pub struct Param {
    /// The argument's name.
    pub name: String,
    /// Other names under which it is taken.
    pub aliases: Vec<String>,
    /// Its name in the request.
    pub wire_name: String,
    pub style: Style,
    pub place: ParamPlace,
    /// The URL of a file that goes in its place.
    pub file: bool,
    pub required: bool,
    pub default: Option<Value>,
    /// Sent with its default whatever a caller says; it is no argument.
    pub fixed: bool,
}

impl Param {
    /// What the caller gave for it, under whichever of its names.
    #[must_use]
    pub fn given<'a>(&self, arguments: &'a Map<String, Value>) -> Option<&'a Value> {
        let names = std::iter::once(&self.name).chain(&self.aliases);
        names.filter_map(|name| arguments.get(name)).next()
    }
}

/// Where an argument goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamPlace {
    Path,
    Query,
    Header(HeaderName),
    /// A pair of the `Cookie` header.
    Cookie,
    Body,
    /// A header, cookie or query parameter that is not the caller's to set; taken and not sent.
    Nowhere,
}

/// How body parameters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Json,
    Form,
    Text,
    Multipart,
    Raw,
    /// The one parameter is the body.
    WholeJson,
}

pub(super) fn method(text: &str) -> Result<Method, PlanError> {
    let known = matches!(text, "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD");
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| known);
    method.ok_or_else(|| PlanError::Method(text.to_owned()))
}

/// The parameter that an argument is for: by its own name first, then by one of its others.
#[must_use]
pub fn named<'a>(params: &'a [Param], argument: &str) -> Option<&'a Param> {
    let own = params.iter().find(|param| param.name == argument);
    own.or_else(|| params.iter().find(|param| param.aliases.iter().any(|alias| alias == argument)))
}

pub(super) fn param(param: &v1::Param) -> Result<Param, PlanError> {
    let wire_name = if param.wire_name.is_empty() { &param.name } else { &param.wire_name };
    let style = v1::ParamStyle::try_from(param.style).map_err(|_| PlanError::Style(param.name.clone()))?;
    let place = match param.place() {
        Place::Path => ParamPlace::Path,
        Place::Query => ParamPlace::Query,
        Place::Body => ParamPlace::Body,
        Place::Header => {
            let name = HeaderName::from_bytes(wire_name.as_bytes())
                .map_err(|_| PlanError::HeaderName(wire_name.clone()))?;
            let ours = is_reserved(&name) || name == http::header::CONTENT_TYPE;
            if ours { ParamPlace::Nowhere } else { ParamPlace::Header(name) }
        }
        Place::Cookie if is_cookie_name(wire_name) => ParamPlace::Cookie,
        Place::Cookie => return Err(PlanError::CookieName(wire_name.clone())),
        Place::Unspecified => return Err(PlanError::Place(param.name.clone())),
    };
    let default = match param.default_json.as_str() {
        "" => None,
        json => Some(serde_json::from_str(json).map_err(|_| PlanError::Default(param.name.clone()))?),
    };
    let file = param.r#type() == v1::ParamType::File;
    if file && place != ParamPlace::Body {
        return Err(PlanError::File(param.name.clone()));
    }
    Ok(Param {
        name: param.name.clone(),
        aliases: param.aliases.clone(),
        wire_name: wire_name.clone(),
        style: Style::of(style),
        place,
        file,
        required: param.required,
        default,
        fixed: param.fixed,
    })
}

/// A parameter that is taken and sent nowhere: one of a composite.
///
/// # Errors
/// When its default is no JSON.
pub fn taken(param: &v1::Param) -> Result<Param, PlanError> {
    let read = self::param(&v1::Param { place: Place::Query.into(), ..param.clone() })?;
    Ok(Param { place: ParamPlace::Nowhere, ..read })
}

pub(super) fn segments(path: &str, params: &[Param]) -> Result<Vec<Segment>, PlanError> {
    let malformed = || PlanError::Path(path.to_owned());
    let mut segments = Vec::new();
    let mut rest = path.trim_start_matches('/');
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').ok_or_else(malformed)? + open;
        let name = &rest[open + 1..close];
        let goes_by = |p: &Param| p.place == ParamPlace::Path && (p.wire_name == name || p.name == name);
        let index = params.iter().position(goes_by);
        let index = index.ok_or_else(|| PlanError::UnknownPathParam(name.to_owned()))?;
        if open > 0 {
            segments.push(Segment::Literal(rest[..open].to_owned()));
        }
        segments.push(Segment::Value(index));
        rest = &rest[close + 1..];
    }
    if rest.contains('}') || path.contains(['\\', '\r', '\n', ' ']) {
        return Err(malformed());
    }
    if !rest.is_empty() {
        segments.push(Segment::Literal(rest.to_owned()));
    }
    Ok(segments)
}

pub(super) fn body(call: &v1::RestCall, params: &[Param]) -> Result<Body, PlanError> {
    let mut fields = params.iter().filter(|param| param.place == ParamPlace::Body);
    let count = fields.clone().count();
    let body = match call.body() {
        v1::BodyEncoding::None if count == 0 => Body::None,
        v1::BodyEncoding::Json => Body::Json,
        v1::BodyEncoding::Form => Body::Form,
        v1::BodyEncoding::Multipart => Body::Multipart,
        v1::BodyEncoding::Text if count == 1 => Body::Text,
        v1::BodyEncoding::Raw if count == 1 => Body::Raw,
        v1::BodyEncoding::WholeJson if count == 1 => Body::WholeJson,
        v1::BodyEncoding::Text | v1::BodyEncoding::Raw | v1::BodyEncoding::WholeJson => {
            return Err(PlanError::OneBody);
        }
        v1::BodyEncoding::None | v1::BodyEncoding::Unspecified => return Err(PlanError::Encoding),
    };
    match fields.find(|param| param.file) {
        Some(param) if !matches!(body, Body::Multipart | Body::Raw) => {
            Err(PlanError::File(param.name.clone()))
        }
        _ => Ok(body),
    }
}

pub(super) fn idempotency(header: &str) -> Result<Option<HeaderName>, PlanError> {
    if header.is_empty() {
        return Ok(None);
    }
    let name = HeaderName::from_bytes(header.as_bytes()).ok();
    let free = name.filter(|name| !is_reserved(name) && name != http::header::CONTENT_TYPE);
    free.map(Some).ok_or_else(|| PlanError::Idempotency(header.to_owned()))
}

pub(super) const fn max_body(bytes: u64) -> u64 {
    if bytes == 0 || bytes > MAX_BODY { MAX_BODY } else { bytes }
}

pub(super) fn content_type(text: &str) -> Result<Option<HeaderValue>, PlanError> {
    if text.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_str(text).map(Some).map_err(|_| PlanError::ContentType(text.to_owned()))
}
