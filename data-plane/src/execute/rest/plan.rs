//! A REST call, read once from its compiled definition, so that a call at run time only fills it in.
//!
//! What this version does not know is refused here, never guessed.

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::Value;
use toolmesh_proto::v1;
use toolmesh_proto::v1::param::Place;

use super::jsonpath::{PathError, ResultPath};

/// Everything about a call that does not depend on its arguments.
#[derive(Clone, Debug)]
pub struct Plan {
    pub method: Method,
    pub path: Vec<Segment>,
    /// What the path holds after a `?`; empty for nothing.
    pub fixed_query: String,
    pub params: Vec<Param>,
    pub body: Body,
    pub content_type: Option<HeaderValue>,
    pub nest_body_keys: bool,
    pub result: Option<ResultPath>,
    /// 0 for no cut.
    pub max_items: usize,
    pub message: Option<ResultPath>,
}

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
    pub name: String,
    pub place: ParamPlace,
    pub required: bool,
    pub default: Option<Value>,
}

/// Where an argument goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamPlace {
    Path,
    Query,
    Header(HeaderName),
    Body,
    /// A header or query parameter that is not the caller's to set; taken and not sent.
    Nowhere,
}

/// How body parameters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Json,
    Form,
    Text,
}

/// Why a definition cannot be executed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("method {0:?} is unknown")]
    Method(String),
    #[error("path {0:?} is malformed")]
    Path(String),
    #[error("path names {{{0}}}, which is no path parameter")]
    UnknownPathParam(String),
    #[error("parameter {0:?} has no place that is known")]
    Place(String),
    #[error("parameter {0:?} is no name of a header")]
    HeaderName(String),
    #[error("the default of {0:?} is no JSON")]
    Default(String),
    #[error("the encoding of the body is unknown")]
    Encoding,
    #[error("a text body needs exactly one body parameter")]
    TextBody,
    #[error("content type {0:?} is malformed")]
    ContentType(String),
    #[error(transparent)]
    ResultPath(#[from] PathError),
}

impl Plan {
    /// Reads a definition.
    ///
    /// # Errors
    /// When anything in it is malformed or unknown to this version.
    pub fn compile(call: &v1::RestCall) -> Result<Self, PlanError> {
        let params = call.params.iter().map(param).collect::<Result<Vec<_>, _>>()?;
        let (path, fixed_query) = call.path.split_once('?').unwrap_or((&call.path, ""));
        if path.contains('#') || fixed_query.contains(['{', '}', '#']) {
            return Err(PlanError::Path(call.path.clone()));
        }
        let rule = call.response.clone().unwrap_or_default();
        Ok(Self {
            method: method(&call.method)?,
            path: segments(path, &params)?,
            fixed_query: fixed_query.to_owned(),
            body: body(call, &params)?,
            params,
            content_type: content_type(&call.content_type)?,
            nest_body_keys: call.nest_body_keys,
            result: ResultPath::parse(&rule.result_path)?,
            max_items: rule.max_items as usize,
            message: ResultPath::parse(call.errors.as_ref().map_or("", |errors| &errors.message_path))?,
        })
    }
}

impl Plan {
    /// Takes a query parameter out of the caller's and the path's hands, in every form that an API may read as it: the
    /// credential under this name must be the only one.
    pub fn reserve_query(&mut self, name: &str) {
        for param in &mut self.params {
            if param.place == ParamPlace::Query && same_query_name(&param.name, name) {
                param.place = ParamPlace::Nowhere;
            }
        }
        let pairs = self.fixed_query.split('&').filter(|pair| {
            url::form_urlencoded::parse(pair.as_bytes())
                .next()
                .is_none_or(|(key, _)| !same_query_name(&key, name))
        });
        self.fixed_query = pairs.collect::<Vec<_>>().join("&");
    }
}

/// Whether two names may be one parameter: `key`, `KEY`, and `key[...]`, which holds a part of it.
fn same_query_name(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let holds = |whole: &str, part: &str| part.strip_prefix(whole).is_some_and(|rest| rest.starts_with('['));
    one == other || holds(&one, &other) || holds(&other, &one)
}

/// Whether a header is the node's or the connection's, so that neither a connector's default nor an argument sets it.
#[must_use]
pub fn is_reserved(name: &HeaderName) -> bool {
    const NAMES: &[&str] = &[
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "mcp-session-id",
        "origin",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
    ];
    let name = name.as_str();
    NAMES.contains(&name) || name.starts_with("proxy-") || name.starts_with("x-forwarded-")
}

/// A connector's default headers, without reserved ones.
///
/// # Errors
/// Names the header that cannot be sent.
pub fn default_headers(headers: &[v1::Header]) -> Result<HeaderMap, PlanError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let error = || PlanError::HeaderName(header.name.clone());
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| error())?;
        let value = HeaderValue::from_str(&header.value).map_err(|_| error())?;
        if !is_reserved(&name) {
            map.insert(name, value);
        }
    }
    Ok(map)
}

fn method(text: &str) -> Result<Method, PlanError> {
    let known = matches!(text, "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD");
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| known);
    method.ok_or_else(|| PlanError::Method(text.to_owned()))
}

fn param(param: &v1::Param) -> Result<Param, PlanError> {
    let place = match param.place() {
        Place::Path => ParamPlace::Path,
        Place::Query => ParamPlace::Query,
        Place::Body => ParamPlace::Body,
        Place::Header => {
            let name = HeaderName::from_bytes(param.name.as_bytes())
                .map_err(|_| PlanError::HeaderName(param.name.clone()))?;
            let ours = is_reserved(&name) || name == http::header::CONTENT_TYPE;
            if ours { ParamPlace::Nowhere } else { ParamPlace::Header(name) }
        }
        Place::Unspecified => return Err(PlanError::Place(param.name.clone())),
    };
    let default = match param.default_json.as_str() {
        "" => None,
        json => Some(serde_json::from_str(json).map_err(|_| PlanError::Default(param.name.clone()))?),
    };
    Ok(Param { name: param.name.clone(), place, required: param.required, default })
}

fn segments(path: &str, params: &[Param]) -> Result<Vec<Segment>, PlanError> {
    let malformed = || PlanError::Path(path.to_owned());
    let mut segments = Vec::new();
    let mut rest = path.trim_start_matches('/');
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').ok_or_else(malformed)? + open;
        let name = &rest[open + 1..close];
        let index = params.iter().position(|p| p.name == name && p.place == ParamPlace::Path);
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

fn body(call: &v1::RestCall, params: &[Param]) -> Result<Body, PlanError> {
    let count = params.iter().filter(|p| p.place == ParamPlace::Body).count();
    match call.body() {
        v1::BodyEncoding::None if count == 0 => Ok(Body::None),
        v1::BodyEncoding::Json => Ok(Body::Json),
        v1::BodyEncoding::Form => Ok(Body::Form),
        v1::BodyEncoding::Text if count == 1 => Ok(Body::Text),
        v1::BodyEncoding::Text => Err(PlanError::TextBody),
        v1::BodyEncoding::None | v1::BodyEncoding::Unspecified => Err(PlanError::Encoding),
    }
}

fn content_type(text: &str) -> Result<Option<HeaderValue>, PlanError> {
    if text.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_str(text).map(Some).map_err(|_| PlanError::ContentType(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(path: &str, params: Vec<v1::Param>) -> v1::RestCall {
        v1::RestCall {
            method: "GET".into(),
            path: path.into(),
            params,
            body: v1::BodyEncoding::None.into(),
            ..Default::default()
        }
    }

    fn param_in(name: &str, place: Place) -> v1::Param {
        v1::Param { name: name.into(), place: place.into(), ..Default::default() }
    }

    #[test]
    fn a_path_is_cut_into_text_and_values() {
        let plan = Plan::compile(&call("/repos/{owner}/x?per_page=5", vec![param_in("owner", Place::Path)]))
            .unwrap();
        let wanted = [Segment::Literal("repos/".into()), Segment::Value(0), Segment::Literal("/x".into())];
        assert_eq!(plan.path, wanted);
        assert_eq!(plan.fixed_query, "per_page=5");
    }

    #[test]
    fn the_name_of_a_query_credential_is_nobody_elses() {
        let names = ["key", "KEY", "key[]", "keys", "q"];
        let params = names.iter().map(|name| param_in(name, Place::Query)).collect();
        let mut plan = Plan::compile(&call("/x?%6Bey=1&b=2", params)).unwrap();
        plan.reserve_query("key");
        let kept: Vec<_> =
            plan.params.iter().filter(|p| p.place == ParamPlace::Query).map(|p| &p.name).collect();
        assert_eq!(kept, ["keys", "q"]);
        assert_eq!(plan.fixed_query, "b=2");
        let mut plan = Plan::compile(&call("/x", vec![param_in("auth", Place::Query)])).unwrap();
        plan.reserve_query("auth[key]");
        assert_eq!(plan.params[0].place, ParamPlace::Nowhere);
    }

    #[test]
    fn what_is_malformed_or_unknown_is_refused() {
        for bad in [
            call("/x/{owner}", vec![]),
            call("/x/{owner", vec![param_in("owner", Place::Path)]),
            call("/x", vec![param_in("a", Place::Unspecified)]),
            call("/x", vec![param_in("a", Place::Body)]),
            call("/x", vec![param_in("a b", Place::Header)]),
            v1::RestCall { method: "CONNECT".into(), ..call("/x", vec![]) },
            v1::RestCall { body: 0, ..call("/x", vec![]) },
            v1::RestCall { body: 99, ..call("/x", vec![]) },
            v1::RestCall { body: v1::BodyEncoding::Text.into(), ..call("/x", vec![]) },
        ] {
            assert!(Plan::compile(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn headers_that_are_not_the_callers_are_taken_and_not_sent() {
        for name in
            ["Authorization", "host", "Cookie", "X-Forwarded-For", "Content-Type", "Proxy-Authorization"]
        {
            let plan = Plan::compile(&call("/x", vec![param_in(name, Place::Header)])).unwrap();
            assert_eq!(plan.params[0].place, ParamPlace::Nowhere, "{name}");
        }
    }
}
