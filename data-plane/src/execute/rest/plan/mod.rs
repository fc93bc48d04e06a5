//! A REST call, read once from its compiled definition, so that a call at run time only fills it in.
//!
//! What this version does not know is refused here, never guessed. `request` reads how a call is written, `answer` how its
//! answer is read.

mod answer;
mod headers;
mod health;
mod request;

use std::collections::HashMap;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use toolmesh_proto::jq::Program;
use toolmesh_proto::v1;
pub use toolmesh_proto::v1::CredentialUse;

pub use self::answer::{Answer, Errors, Streaming};
pub use self::headers::{default_headers, is_cookie_name, is_cookie_value, is_reserved};
pub use self::health::Health;
pub use self::request::{Body, Param, ParamPlace, Segment, named, taken};
use super::jsonpath::PathError;

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
    /// Carries a fresh key with every logical call.
    pub idempotency: Option<HeaderName>,
    /// Most bytes of a body, files included.
    pub max_body: u64,
    pub answer: Answer,
    /// The call asks whether the API is well.
    pub health: Option<Health>,
    pub credential: CredentialUse,
    /// Query parameters that carry the credential.
    reserved_query: Vec<String>,
    /// Cookies that carry the credential.
    reserved_cookies: Vec<String>,
}

/// jq programs by their text.
pub type Programs = HashMap<String, Program>;

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
    #[error("parameter {0:?} is no name of a cookie")]
    CookieName(String),
    #[error("the default of {0:?} is no JSON")]
    Default(String),
    #[error("the encoding of the body is unknown")]
    Encoding,
    #[error("a text, raw or whole body needs exactly one body parameter")]
    OneBody,
    #[error("{0:?} takes a file, but the body cannot hold one")]
    File(String),
    #[error("idempotency keys cannot go into the header {0:?}")]
    Idempotency(String),
    #[error("what is done with the credential is unknown")]
    Credential,
    #[error("the style of parameter {0:?} is unknown")]
    Style(String),
    #[error("content type {0:?} is malformed")]
    ContentType(String),
    #[error(transparent)]
    ResultPath(#[from] PathError),
    #[error("the transform is no jq program: {0}")]
    Program(String),
    #[error("a mask names the whole answer or nothing")]
    Mask,
}

impl Plan {
    /// Reads a definition.
    ///
    /// # Errors
    /// When anything in it is malformed or unknown to this version.
    pub fn compile(call: &v1::RestCall) -> Result<Self, PlanError> {
        Self::compile_among(call, &mut Programs::new())
    }

    /// As [`Self::compile`], with the jq programs that are compiled already: many tools of a connector share one.
    ///
    /// # Errors
    /// When anything in it is malformed or unknown to this version.
    pub fn compile_among(call: &v1::RestCall, programs: &mut Programs) -> Result<Self, PlanError> {
        let params = call.params.iter().map(request::param).collect::<Result<Vec<_>, _>>()?;
        let (path, fixed_query) = call.path.split_once('?').unwrap_or((&call.path, ""));
        if path.contains('#') || fixed_query.contains(['{', '}', '#']) {
            return Err(PlanError::Path(call.path.clone()));
        }
        let mut answer = Answer::compile(call, programs)?;
        if let Some(paging) = &mut answer.paging {
            paging.go_by_arguments(&params);
        }
        Ok(Self {
            method: request::method(&call.method)?,
            path: request::segments(path, &params)?,
            fixed_query: fixed_query.to_owned(),
            body: request::body(call, &params)?,
            params,
            content_type: request::content_type(&call.content_type)?,
            nest_body_keys: call.nest_body_keys,
            idempotency: request::idempotency(&call.idempotency_header)?,
            max_body: request::max_body(call.max_body_bytes),
            answer,
            health: call.health.as_ref().map(Health::compile).transpose()?,
            credential: CredentialUse::try_from(call.credential).map_err(|_| PlanError::Credential)?,
            reserved_query: Vec::new(),
            reserved_cookies: Vec::new(),
        })
    }
}

impl Plan {
    /// The parameter that an argument of this name is for.
    #[must_use]
    pub fn param(&self, argument: &str) -> Option<&Param> {
        named(&self.params, argument)
    }

    /// Takes a query parameter out of the caller's and the path's hands, in every form that an API may read as it: the
    /// credential under this name must be the only one.
    pub fn reserve_query(&mut self, name: &str) {
        for param in &mut self.params {
            if param.place == ParamPlace::Query && same_query_name(&param.wire_name, name) {
                param.place = ParamPlace::Nowhere;
            }
        }
        let pairs = self.fixed_query.split('&').filter(|pair| {
            url::form_urlencoded::parse(pair.as_bytes())
                .next()
                .is_none_or(|(key, _)| !same_query_name(&key, name))
        });
        self.fixed_query = pairs.collect::<Vec<_>>().join("&");
        self.reserved_query.push(name.to_owned());
    }

    /// The same for a cookie, or for all of them where the credential is the whole header.
    pub fn reserve_cookies(&mut self, name: Option<&str>) {
        for param in &mut self.params {
            let own = name.is_none_or(|name| param.wire_name.eq_ignore_ascii_case(name));
            if param.place == ParamPlace::Cookie && own {
                param.place = ParamPlace::Nowhere;
            }
        }
        self.reserved_cookies.extend(name.map(str::to_owned));
    }

    /// Whether a name that a caller chose, as a member of an object that is spread over cookies, is the credential's.
    #[must_use]
    pub fn is_reserved_cookie(&self, name: &str) -> bool {
        self.reserved_cookies.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
    }

    /// Whether a name that a caller chose, as a member of an object that is spread over the query, is the credential's.
    #[must_use]
    pub fn is_reserved_query(&self, name: &str) -> bool {
        self.reserved_query.iter().any(|reserved| same_query_name(name, reserved))
    }
}

/// Whether two names may be one parameter: `key`, `KEY`, and `key[...]`, which holds a part of it.
fn same_query_name(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let holds = |whole: &str, part: &str| part.strip_prefix(whole).is_some_and(|rest| rest.starts_with('['));
    one == other || holds(&one, &other) || holds(&other, &one)
}

#[cfg(test)]
mod tests {
    use toolmesh_proto::v1::param::Place;

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

    fn file(place: Place) -> v1::Param {
        v1::Param { r#type: v1::ParamType::File.into(), ..param_in("f", place) }
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
    fn the_cookie_of_a_credential_is_nobody_elses() {
        let params = || ["sid", "SID", "lang"].iter().map(|name| param_in(name, Place::Cookie)).collect();
        let kept = |plan: &Plan| plan.params.iter().filter(|p| p.place == ParamPlace::Cookie).count();
        let mut plan = Plan::compile(&call("/x", params())).unwrap();
        plan.reserve_cookies(Some("sid"));
        assert_eq!((kept(&plan), plan.is_reserved_cookie("Sid")), (1, true));
        plan.reserve_cookies(None);
        assert_eq!(kept(&plan), 0);
    }

    #[test]
    fn what_is_malformed_or_unknown_is_refused() {
        for bad in [
            call("/x/{owner}", vec![]),
            call("/x/{owner", vec![param_in("owner", Place::Path)]),
            call("/x", vec![param_in("a", Place::Unspecified)]),
            call("/x", vec![param_in("a", Place::Body)]),
            call("/x", vec![param_in("a b", Place::Header)]),
            call("/x", vec![param_in("a;b", Place::Cookie)]),
            v1::RestCall { method: "CONNECT".into(), ..call("/x", vec![]) },
            v1::RestCall { body: 0, ..call("/x", vec![]) },
            v1::RestCall { body: 99, ..call("/x", vec![]) },
            v1::RestCall { credential: 99, ..call("/x", vec![]) },
            v1::RestCall { body: v1::BodyEncoding::WholeJson.into(), ..call("/x", vec![]) },
            call("/x", vec![v1::Param { style: 99, ..param_in("a", Place::Query) }]),
            v1::RestCall { body: v1::BodyEncoding::Text.into(), ..call("/x", vec![]) },
            v1::RestCall { body: v1::BodyEncoding::Raw.into(), ..call("/x", vec![]) },
            v1::RestCall { idempotency_header: "Authorization".into(), ..call("/x", vec![]) },
            v1::RestCall { idempotency_header: "a b".into(), ..call("/x", vec![]) },
            v1::RestCall { body: v1::BodyEncoding::Json.into(), ..call("/x", vec![file(Place::Body)]) },
            v1::RestCall { body: v1::BodyEncoding::Multipart.into(), ..call("/x", vec![file(Place::Query)]) },
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
