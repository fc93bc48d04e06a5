//! From arguments to a request.
//!
//! Whatever a caller says stays in its place: a path value cannot leave its segment, a query value its parameter, a header
//! value its line. Knows nothing of tenants and never sends.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use super::plan::{Body, Param, ParamPlace, Plan, Segment};
use super::{encode, style};
use crate::execute::credentials::Placement;
use crate::execute::outbound::OutboundRequest;

/// An argument that cannot be sent, by name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("/{name}: {reason}")]
pub struct ArgumentError {
    pub name: String,
    pub reason: &'static str,
}

type Arguments = Map<String, Value>;

/// Fills in a plan. `base` is the installation's base URL, `defaults` are the connector's headers.
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
    let mut headers = defaults.clone();
    header_params(plan, arguments, &mut headers)?;
    let body = body(plan, arguments, &mut headers)?;
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json, */*;q=0.5"));
    let mut url = path(plan, base, arguments)?;
    let mut query = query(plan, arguments)?;
    credential.apply(&mut headers, &mut query);
    url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    Ok(OutboundRequest { method: plan.method.clone(), url, headers, body })
}

fn fault(param: &Param, reason: &'static str) -> ArgumentError {
    ArgumentError { name: param.name.clone(), reason }
}

/// The argument or its default; `None` for a missing one that may be missing. Null counts as missing except in a body.
fn value<'a>(param: &'a Param, arguments: &'a Arguments) -> Result<Option<&'a Value>, ArgumentError> {
    let given = arguments.get(&param.name).filter(|_| !param.fixed);
    let given = given.filter(|value| param.place == ParamPlace::Body || !value.is_null());
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

/// Content type: the tool's own, else the connector's default header, else the encoding's.
fn body(plan: &Plan, arguments: &Arguments, headers: &mut HeaderMap) -> Result<Option<Bytes>, ArgumentError> {
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
    let (bytes, own_type) = match plan.body {
        Body::None => return Ok(None),
        Body::Json => (Value::Object(object(plan, &fields)?).to_string().into_bytes(), "application/json"),
        Body::WholeJson => {
            let whole = fields.first().map(|(_, value)| value.to_string()).unwrap_or_default();
            (whole.into_bytes(), "application/json")
        }
        Body::Form => (form(plan, &fields)?, "application/x-www-form-urlencoded"),
        Body::Text => (
            fields.iter().map(|(_, value)| encode::text(value)).collect::<String>().into_bytes(),
            "text/plain",
        ),
    };
    let chosen = plan.content_type.clone().or(default_type);
    headers.insert(CONTENT_TYPE, chosen.unwrap_or_else(|| HeaderValue::from_static(own_type)));
    Ok(Some(bytes.into()))
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
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use toolmesh_proto::v1;
    use toolmesh_proto::v1::param::Place;

    use super::*;

    fn plan(call: v1::RestCall) -> Plan {
        Plan::compile(&call).unwrap()
    }

    fn call(method: &str, path: &str, body: v1::BodyEncoding, params: &[(&str, Place)]) -> v1::RestCall {
        let params = params
            .iter()
            .map(|(name, place)| v1::Param {
                name: (*name).into(),
                place: (*place).into(),
                ..Default::default()
            })
            .collect();
        v1::RestCall {
            method: method.into(),
            path: path.into(),
            params,
            body: body.into(),
            ..Default::default()
        }
    }

    fn get(path: &str, params: &[(&str, Place)]) -> Plan {
        plan(call("GET", path, v1::BodyEncoding::None, params))
    }

    fn fill(plan: &Plan, arguments: Value) -> Result<OutboundRequest, ArgumentError> {
        let base = Url::parse("https://api.example.com/v3/").unwrap();
        build(plan, &base, &HeaderMap::new(), arguments.as_object().unwrap(), &Placement::default())
    }

    fn body_of(request: &OutboundRequest) -> &str {
        std::str::from_utf8(request.body.as_deref().unwrap_or_default()).unwrap()
    }

    #[test]
    fn a_request_is_put_together_below_the_base_url() {
        let plan = get(
            "/repos/{owner}/issues",
            &[
                ("owner", Place::Path),
                ("state", Place::Query),
                ("labels", Place::Query),
                ("X-Trace", Place::Header),
            ],
        );
        let request =
            fill(&plan, json!({"owner": "a/b c", "state": "open", "labels": ["x", "y&z"], "X-Trace": "t"}))
                .unwrap();
        let url = "https://api.example.com/v3/repos/a%2Fb%20c/issues?state=open&labels=x&labels=y%26z";
        assert_eq!(request.url.as_str(), url);
        assert_eq!(request.headers["x-trace"], "t");
        assert!(request.body.is_none());
    }

    #[test]
    fn a_path_value_cannot_climb_vanish_or_be_a_list() {
        let plan = get("/items/{id}/x", &[("id", Place::Path)]);
        for bad in [json!(""), json!("."), json!(".."), json!(["a"]), json!({"a": 1}), json!(null)] {
            let error = fill(&plan, json!({ "id": bad })).unwrap_err();
            assert_eq!(error.name, "id");
        }
        let joined = get("/items/.{id}/x", &[("id", Place::Path)]);
        assert_eq!(fill(&joined, json!({"id": "."})).unwrap_err().name, "id");
        let escaped = get("/items/%2E{id}", &[("id", Place::Path)]);
        assert_eq!(fill(&escaped, json!({"id": "."})).unwrap_err().name, "id");
        for bad in ["%2e%2e", "%2E", "a/../b", "../..", "a\\..\\b", "./a", "a%2F..%2fb", "a%5c..", "..;x/b"] {
            assert_eq!(fill(&plan, json!({ "id": bad })).unwrap_err().name, "id", "{bad}");
        }
        for good in ["a..b", "...", "v1.2/x", ".github", "a/b.", "%20"] {
            assert!(fill(&plan, json!({ "id": good })).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_header_value_with_a_line_break_is_refused_by_name() {
        let plan = get("/x", &[("X-Trace", Place::Header)]);
        let error = fill(&plan, json!({"X-Trace": "a\r\nAuthorization: b"})).unwrap_err();
        assert_eq!(error.name, "X-Trace");
    }

    #[test]
    fn an_argument_never_sets_a_header_that_is_not_the_callers() {
        let plan = get("/x", &[("Authorization", Place::Header), ("Host", Place::Header)]);
        let request = fill(&plan, json!({"Authorization": "Bearer mine", "Host": "evil"})).unwrap();
        assert!(request.headers.get("authorization").is_none());
        assert!(request.headers.get("host").is_none());
    }

    #[test]
    fn defaults_fill_what_is_missing_in_every_place() {
        let mut definition = call(
            "POST",
            "/{v}/x",
            v1::BodyEncoding::Json,
            &[("v", Place::Path), ("limit", Place::Query), ("jsonrpc", Place::Body), ("X-A", Place::Header)],
        );
        for (param, default) in definition.params.iter_mut().zip(["1", "20", "\"2.0\"", "\"h\""]) {
            param.default_json = default.into();
            param.required = true;
        }
        let request = fill(&plan(definition), json!({"limit": 5})).unwrap();
        assert_eq!(request.url.as_str(), "https://api.example.com/v3/1/x?limit=5");
        assert_eq!(body_of(&request), r#"{"jsonrpc":"2.0"}"#);
        assert_eq!(request.headers["x-a"], "h");
    }

    #[test]
    fn a_required_argument_without_a_value_is_named() {
        let mut definition = call("GET", "/x", v1::BodyEncoding::None, &[("q", Place::Query)]);
        definition.params[0].required = true;
        assert_eq!(fill(&plan(definition), json!({})).unwrap_err().to_string(), "/q: is required");
    }

    #[test]
    fn bodies_are_written_in_their_encoding() {
        let params = [("a", Place::Body), ("b", Place::Body)];
        let arguments = json!({"a": {"x": [1, 2]}, "b": 10_000_000_000_000_000_u64});

        let json =
            fill(&plan(call("POST", "/x", v1::BodyEncoding::Json, &params)), arguments.clone()).unwrap();
        assert_eq!(body_of(&json), r#"{"a":{"x":[1,2]},"b":10000000000000000}"#);
        assert_eq!(json.headers["content-type"], "application/json");

        let form = fill(&plan(call("POST", "/x", v1::BodyEncoding::Form, &params)), arguments).unwrap();
        assert_eq!(body_of(&form), "a%5Bx%5D%5B0%5D=1&a%5Bx%5D%5B1%5D=2&b=10000000000000000");
        assert_eq!(form.headers["content-type"], "application/x-www-form-urlencoded");

        let text = plan(call("POST", "/x", v1::BodyEncoding::Text, &params[..1]));
        let text = fill(&text, json!({"a": "deadbeef"})).unwrap();
        assert_eq!(body_of(&text), "deadbeef");
        assert_eq!(text.headers["content-type"], "text/plain");

        let empty = fill(&plan(call("POST", "/x", v1::BodyEncoding::Json, &params)), json!({})).unwrap();
        assert!(empty.body.is_none());
        assert!(empty.headers.get("content-type").is_none());
    }

    #[test]
    fn dotted_names_nest_only_where_the_connector_says_so() {
        let mut definition =
            call("POST", "/x", v1::BodyEncoding::Json, &[("a.b", Place::Body), ("a.c", Place::Body)]);
        let arguments = json!({"a.b": 1, "a.c": null});
        let flat = fill(&plan(definition.clone()), arguments.clone()).unwrap();
        assert_eq!(body_of(&flat), r#"{"a.b":1,"a.c":null}"#);
        definition.nest_body_keys = true;
        let nested = fill(&plan(definition.clone()), arguments).unwrap();
        assert_eq!(body_of(&nested), r#"{"a":{"b":1,"c":null}}"#);
        definition.body = v1::BodyEncoding::Form.into();
        let form = fill(&plan(definition), json!({"a.b": 1, "a.c": "x"})).unwrap();
        assert_eq!(body_of(&form), "a%5Bb%5D=1&a%5Bc%5D=x");
    }

    proptest! {
        #[test]
        fn whatever_a_caller_says_stays_in_its_segment_and_parameter(id in any::<String>(), q in any::<String>()) {
            let plan = get("/items/{id}/x", &[("id", Place::Path), ("q", Place::Query)]);
            match fill(&plan, json!({"id": id, "q": q})) {
                Err(error) => prop_assert!(id.is_empty() || has_dot_segment(&id), "{error}"),
                Ok(request) => {
                    let url = request.url;
                    prop_assert_eq!(url.host_str(), Some("api.example.com"));
                    let segments: Vec<&str> = url.path().split('/').collect();
                    prop_assert_eq!(segments.len(), 5, "{}", url);
                    prop_assert_eq!((segments[1], segments[2], segments[4]), ("v3", "items", "x"));
                    prop_assert_eq!(url.fragment(), None);
                    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
                    prop_assert_eq!(pairs, vec![("q".to_owned(), q)]);
                }
            }
        }
    }
}
