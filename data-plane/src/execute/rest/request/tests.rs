//! What a request looks like, and what a caller cannot do to it.

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
        .map(|(name, place)| v1::Param { name: (*name).into(), place: (*place).into(), ..Default::default() })
        .collect();
    v1::RestCall { method: method.into(), path: path.into(), params, body: body.into(), ..Default::default() }
}

fn get(path: &str, params: &[(&str, Place)]) -> Plan {
    plan(call("GET", path, v1::BodyEncoding::None, params))
}

fn fill(plan: &Plan, arguments: Value) -> Result<OutboundRequest, ArgumentError> {
    let base = Url::parse("https://api.example.com/v3/").unwrap();
    build(plan, &base, &HeaderMap::new(), arguments.as_object().unwrap(), &Placement::default())
}

fn body_of(request: &OutboundRequest) -> &str {
    match &request.body {
        Some(Payload::Bytes(bytes)) => std::str::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
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
fn a_path_value_cannot_climb_or_vanish() {
    let plan = get("/items/{id}/x", &[("id", Place::Path)]);
    for bad in [json!(""), json!("."), json!(".."), json!([]), json!(["a/.."]), json!({"a": 1}), json!(null)]
    {
        let error = fill(&plan, json!({ "id": bad })).unwrap_err();
        assert_eq!(error.name, "id");
    }
    let list = fill(&plan, json!({"id": ["a", "b/c,d"]})).unwrap();
    assert!(list.url.path().ends_with("/items/a,b%2Fc%2Cd/x"), "{}", list.url);
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

    let json = fill(&plan(call("POST", "/x", v1::BodyEncoding::Json, &params)), arguments.clone()).unwrap();
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

#[test]
fn a_form_of_parts_has_each_parameter_in_its_order_and_null_is_left_out() {
    let mut definition = call(
        "POST",
        "/x",
        v1::BodyEncoding::Multipart,
        &[("name", Place::Body), ("file", Place::Body), ("tags", Place::Body), ("gone", Place::Body)],
    );
    definition.params[1].r#type = v1::ParamType::File.into();
    definition.content_type = "multipart/form-data".into();
    let arguments =
        json!({"tags": ["a", 1], "name": "n", "file": "https://files.example.com/a.png", "gone": null});
    let request = fill(&plan(definition), arguments).unwrap();
    let Some(Payload::Multipart(form)) = &request.body else { panic!("{:?}", request.body) };
    let names: Vec<&str> = form.fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["name", "file", "tags"]);
    assert!(matches!(&form.fields()[2].content, FieldContent::Text(text) if text == r#"["a",1]"#));
    assert!(matches!(&form.fields()[1].content, FieldContent::File(_)));
    assert_eq!(request.headers["content-type"], form.content_type().as_str());
}

#[test]
fn several_files_and_lists_that_say_so_have_a_part_for_each() {
    let params = [("files", Place::Body), ("tags", Place::Body)];
    let mut definition = call("POST", "/x", v1::BodyEncoding::Multipart, &params);
    definition.params[0].r#type = v1::ParamType::File.into();
    definition.params[1].style = v1::ParamStyle::FormExplode.into();
    let url = "https://files.example.com/a.png";
    let names = |arguments: Value| {
        let request = fill(&plan(definition.clone()), arguments).unwrap();
        let Some(Payload::Multipart(form)) = &request.body else { panic!("{:?}", request.body) };
        form.fields().iter().map(|field| field.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(json!({"files": [url, url], "tags": ["a", "b"]})), ["files", "files", "tags", "tags"]);
    assert_eq!(names(json!({"files": url, "tags": []})), ["files"]);
    for bad in [json!({"files": [url, 5]}), json!({"files": vec![url; 21]})] {
        assert_eq!(fill(&plan(definition.clone()), bad).unwrap_err().name, "files");
    }
}

#[test]
fn a_file_alone_is_octets_unless_the_tool_says_what_it_is() {
    let mut definition = call("PUT", "/x", v1::BodyEncoding::Raw, &[("file", Place::Body)]);
    definition.params[0].r#type = v1::ParamType::File.into();
    let url = json!({"file": "https://files.example.com/a.iso"});
    let request = fill(&plan(definition.clone()), url.clone()).unwrap();
    assert!(matches!(request.body, Some(Payload::File(_))));
    assert_eq!(request.headers["content-type"], "application/octet-stream");
    definition.content_type = "application/gzip".into();
    assert_eq!(fill(&plan(definition.clone()), url).unwrap().headers["content-type"], "application/gzip");
    for bad in [json!({"file": "file:///etc/passwd"}), json!({"file": 5})] {
        assert_eq!(fill(&plan(definition.clone()), bad).unwrap_err().name, "file");
    }
    definition.params[0].r#type = v1::ParamType::String.into();
    assert_eq!(body_of(&fill(&plan(definition), json!({"file": "bytes"})).unwrap()), "bytes");
}

#[test]
fn one_call_has_one_key_whatever_credential_it_is_tried_with_and_no_caller_chooses_it() {
    let mut definition = call("POST", "/x", v1::BodyEncoding::None, &[("Idempotency-Key", Place::Header)]);
    definition.idempotency_header = "Idempotency-Key".into();
    let plan = plan(definition);
    let base = Url::parse("https://api.example.com").unwrap();
    let arguments = json!({"Idempotency-Key": "mine"});
    let drawn = || draft(&plan, &base, &HeaderMap::new(), arguments.as_object().unwrap()).unwrap();
    let one = drawn();
    let key = |draft: &Draft| draft.signed(&Placement::default()).headers["idempotency-key"].clone();
    let parsed = uuid::Uuid::parse_str(key(&one).to_str().unwrap()).unwrap();
    assert_eq!(parsed.get_version_num(), 4);
    assert_eq!(key(&one), key(&one));
    assert_ne!(key(&one), key(&drawn()));
}

#[test]
fn an_argument_may_have_another_name_on_the_wire_and_be_given_under_either() {
    let mut definition = call(
        "POST",
        "/{x}",
        v1::BodyEncoding::Json,
        &[("id", Place::Path), ("types", Place::Query), ("q", Place::Body)],
    );
    for (param, wire) in definition.params.iter_mut().zip(["x", "types[]", "$q"]) {
        param.wire_name = wire.into();
        param.aliases = vec![wire.into()];
    }
    let plan = plan(definition);
    let wanted = "https://api.example.com/v3/1?types%5B%5D=a&types%5B%5D=b";
    for arguments in
        [json!({"id": 1, "types": ["a", "b"], "q": 2}), json!({"x": 1, "types[]": ["a", "b"], "$q": 2})]
    {
        let request = fill(&plan, arguments).unwrap();
        assert_eq!((request.url.as_str(), body_of(&request)), (wanted, r#"{"$q":2}"#));
    }
}

#[test]
fn a_body_over_the_tools_limit_is_not_sent() {
    let mut definition = call("POST", "/x", v1::BodyEncoding::Json, &[("a", Place::Body)]);
    definition.max_body_bytes = 20;
    let plan = plan(definition);
    assert!(fill(&plan, json!({"a": "short"})).is_ok());
    let error = fill(&plan, json!({"a": "x".repeat(20)})).unwrap_err().to_string();
    assert!(error.contains("larger request"), "{error}");
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

#[test]
fn cookies_are_one_header_whose_pairs_no_value_ends() {
    let plan = get("/x", &[("lang", Place::Cookie), ("tags", Place::Cookie), ("none", Place::Cookie)]);
    let arguments = json!({"lang": "de; admin=1", "tags": ["a,b", "c\r\nX: y"], "none": null});
    let request = fill(&plan, arguments).unwrap();
    assert_eq!(request.headers["cookie"], "lang=de%3B%20admin%3D1; tags=a%2Cb; tags=c%0D%0AX%3A%20y");
    assert_eq!(request.headers.get_all("cookie").iter().count(), 1);
    assert!(fill(&plan, json!({})).unwrap().headers.get("cookie").is_none());
}

#[test]
fn members_that_are_spread_over_cookies_cannot_name_the_credentials() {
    let mut spread = call("GET", "/x", v1::BodyEncoding::None, &[("settings", Place::Cookie)]);
    spread.params[0].style = v1::ParamStyle::FormExplode.into();
    let mut plan = plan(spread);
    plan.reserve_cookies(Some("sid"));
    assert!(fill(&plan, json!({"settings": {"SID": "mine"}})).is_err());
    let request = fill(&plan, json!({"settings": {"a b": "1;2", "": "x"}})).unwrap();
    assert_eq!(request.headers["cookie"], "a%20b=1%3B2");
}
