//! What an author of a document notices.

use serde_json::{Value as Json, json};
use toolmesh_proto::v1::{self, BodyEncoding, auth::Kind, param::Place, tool::Call};

use super::*;

/// A document with everything around `rest`, which continues below `backend:`.
fn document(rest: &str) -> String {
    format!(
        "spec: https://dadl.ai/spec/dadl-spec-v0.1.md\nbackend:\n  name: demo\n  type: rest\n  description: A demo.\n  \
         base_url: https://api.example.com/v1\n{rest}"
    )
}

/// A document with one tool, whose keys are given.
fn one_tool(keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("      {line}\n")).collect();
    document(&format!(
        "  auth: {{type: bearer, credential: token}}\n  tools:\n    demo:\n      access: read\n      description: It is a demo.\n{keys}"
    ))
}

fn compiled(source: &str) -> Compiled {
    compile(source, "demo.dadl").unwrap_or_else(|errors| panic!("{errors}\n{source}"))
}

fn errors(source: &str) -> Vec<String> {
    let errors = compile(source, "demo.dadl").expect_err("the document is refused");
    errors.errors.iter().map(ToString::to_string).collect()
}

fn warnings(source: &str) -> String {
    compiled(source).warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn tool(compiled: &Compiled) -> (v1::Tool, v1::RestCall) {
    let tool = compiled.connector.tools[0].clone();
    let Some(Call::Rest(call)) = tool.call.clone() else { panic!("no call") };
    (tool, call)
}

fn schema(tool: &v1::Tool) -> Json {
    serde_json::from_str(&tool.input_schema_json).unwrap()
}

#[test]
fn an_error_names_file_line_column_path_and_the_way_out() {
    let found = errors(&one_tool("method: FETCH\npath: /x"));
    assert_eq!(
        found,
        [
            r#"demo.dadl:12:15: backend.tools.demo.method: "FETCH" is not a method; write one of GET, POST, PUT, PATCH, DELETE, HEAD"#
        ]
    );
}

#[test]
fn all_errors_come_at_once_in_the_order_of_the_text() {
    let source = one_tool(
        "method: FETCH\npath: /x/{id}/../y\nparams:\n  a: {type: text, in: query}\n  b: {type: string}\n  c: {type: string, in: form, required: yes}",
    );
    let found = errors(&source);
    let lines: Vec<&str> = found.iter().filter_map(|error| error.split(':').nth(1)).collect();
    assert_eq!(lines, ["12", "13", "15", "16", "17", "17"], "{found:#?}");
    assert!(found[5].contains("true or false") || found[4].contains("true or false"), "{found:#?}");
}

#[test]
fn a_missing_key_is_named_where_it_belongs() {
    let found = errors("spec: https://dadl.ai/spec/dadl-spec-v0.2\nbackend:\n  type: rest\n");
    assert!(found.iter().any(|e| e.starts_with("demo.dadl:3:3: backend.name: is missing")), "{found:#?}");
    assert!(found.iter().any(|e| e.contains("backend.tools: is missing")), "{found:#?}");
    assert!(errors("")[0].contains("the document is empty"));
    assert!(errors("- a\n")[0].contains("must be a mapping, not a list"));
}

#[test]
fn text_that_is_not_yaml_is_refused_with_its_place() {
    for (source, place, word) in [
        ("a: [1", ":1:4: ", "unclosed"),
        ("a: 'x", ":1:4: ", "unclosed"),
        ("a:\n\tb: 1", ":2:", "tabs"),
        ("a: *nope", ":1:4: ", "anchor"),
        ("a: 1\n---\nb: 2\n", ":2:1: ", "more than one YAML document"),
        ("a: !ruby/object x", ":1:", "tag"),
        ("? [a]\n: b", ":1:3: ", "a key must be plain text"),
    ] {
        let found = errors(source);
        assert!(found[0].contains(place) && found[0].contains(word), "{source}: {found:?}");
    }
}

#[test]
fn only_true_and_false_are_booleans_and_keys_like_on_stay_names() {
    let source = one_tool(
        "method: POST\npath: /switch\nparams:\n  on: {type: boolean, in: body, default: true}\n  yes: {type: string, in: query, default: no}\n  404: {type: string, in: query, default: 1.10}\n  n: {type: string, in: query, default: 0o17}\n  day: {type: string, in: query, default: 2024-01-02}",
    );
    let (tool, call) = tool(&compiled(&source));
    let names: Vec<&str> = call.params.iter().map(|param| param.name.as_str()).collect();
    assert_eq!(names, ["on", "yes", "404", "n", "day"]);
    let properties = schema(&tool)["properties"].clone();
    assert_eq!(properties["on"]["default"], true);
    assert_eq!(properties["yes"]["default"], "no");
    assert_eq!(properties["404"]["default"], "1.10");
    assert_eq!(properties["n"]["default"], "0o17");
    assert_eq!(properties["day"]["default"], "2024-01-02");
}

#[test]
fn repeated_and_merge_keys_are_refused() {
    let found = errors(&one_tool("method: GET\nmethod: POST\npath: /x"));
    assert!(found[0].contains("demo.dadl:13:7: ") && found[0].contains("first in line 12"), "{found:?}");
    let found = errors(&one_tool("method: GET\npath: /x\nresponse: &r {max_items: 1}\nerrors:\n  <<: *r"));
    assert!(found[0].contains("merge keys"), "{found:?}");
    let found = errors(&document(
        "  tools:\n    a: {method: GET, path: /a, description: A.}\n    a: {method: GET, path: /b, description: B.}\n",
    ));
    assert!(found[0].contains("backend.tools.a: is there twice"), "{found:?}");
}

#[test]
fn unknown_keys_warn_and_a_slip_is_recognised() {
    let found = warnings(&one_tool("method: GET\npath: /x\ndescripton: again\nx-own: 1"));
    assert!(found.contains("demo.dadl:14:7: backend.tools.demo.descripton: is not a known key"), "{found}");
    assert!(found.contains("did you mean `description`?"), "{found}");
    let hidden = format!("_anchors: {{a: 1}}\n{}", one_tool("method: GET\npath: /x"));
    assert_eq!(warnings(&hidden), "");
    let scoped =
        one_tool("method: GET\npath: /x").replace("  tools:", "  scoping: {tools: [demo]}\n  tools:");
    assert!(warnings(&scoped).contains("backend.scoping: is not part of the language and limits nothing"));
}

#[test]
fn an_alias_stands_for_the_whole_value() {
    let source = format!(
        "_shared:\n  id: &id {{type: string, in: path, required: true, description: The id.}}\n{}",
        one_tool("method: GET\npath: /x/{id}\nparams: {id: *id}")
    );
    let (tool, call) = tool(&compiled(&source));
    assert_eq!((call.path.as_str(), call.params[0].place()), ("/x/{id}", Place::Path));
    assert_eq!(schema(&tool)["required"], json!(["id"]));
}

#[test]
fn what_is_required_and_not_known_is_refused_and_never_guessed() {
    let good = "\nbackend:\n  name: demo\n  type: rest\n  description: D.\n  tools:\n    a: {method: GET, path: /, access: read, description: A.}\n";
    for (head, word) in [
        ("spec: https://dadl.ai/spec/dadl-spec-v0.3.md", "is not a version of DADL"),
        ("spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nrequires: {features: [telepathy]}", "not executed"),
        ("spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nrequires: {toolmesh: '>=9'}", "asks for >=9"),
        ("spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nrequires: {toolmesh: soon}", "is not a range"),
        (
            "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nrequires: {gateway: 1}",
            "requires.gateway: is not known",
        ),
        (
            "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nincludes: [{path: /etc/passwd, merge_into: backend}]",
            "other files",
        ),
    ] {
        let found = errors(&format!("{head}{good}"));
        assert!(found.iter().any(|error| error.contains(word)), "{head}: {found:?}");
    }
    let fine = "spec: https://dadl.ai/spec/dadl-spec-v0.2\nrequires: {toolmesh: '>=0.3.0, <1', features: [returns, deprecation]}";
    compiled(&format!("{fine}{good}"));
}

#[test]
fn unknown_words_fail_closed_everywhere() {
    for (keys, word) in [
        ("response: {stream_handling: maybe}", "maybe"),
        ("pagination: {strategy: telepathy}", "telepathy"),
        ("pagination: {strategy: page, behavior: maybe}", "maybe"),
        ("pagination: never", "never"),
        ("errors: {format: yaml}", "yaml"),
        ("errors: {map: {200: fine}}", "from 400 to 599"),
        ("content_type: json", "media type"),
        ("params: {a: {type: date, in: query}}", "date"),
        ("params: {a: {type: string, in: cookie}}", "cookie"),
        ("response: {result_path: items}", "starts with `$`"),
        ("errors: {message_path: '$..x'}", "name the keys one by one"),
    ] {
        let found = errors(&one_tool(&format!("method: GET\npath: /x\n{keys}")));
        assert!(found.iter().any(|error| error.contains(word)), "{keys}: {found:?}");
    }
}

#[test]
fn paths_that_leave_the_base_url_are_refused() {
    for path in [
        "https://evil.example/x",
        "//evil.example/x",
        "/a/../b",
        "/a/%2e%2E/b",
        "..",
        "/./a",
        "'/a?b=c'",
        "'/a#b'",
        "'/a b'",
        "'\\\\evil\\x'",
        "'/a/{b'",
        "'/a/b}'",
        "'/a/{}'",
        "'/a/{b/c}'",
    ] {
        let found = errors(&one_tool(&format!("method: GET\npath: {path}")));
        assert!(found[0].contains("demo.dadl:13:13: backend.tools.demo.path: "), "{path}: {found:?}");
    }
}

#[test]
fn placeholders_and_path_parameters_must_agree() {
    assert!(errors(&one_tool("method: GET\npath: /x/{id}"))[0].contains("`{id}` is not declared"));
    let query = one_tool("method: GET\npath: /x/{id}\nparams: {id: {type: string, in: query}}");
    assert!(errors(&query)[0].contains("write `in: path`"));
    let stray = one_tool("method: GET\npath: /x\nparams: {id: {type: string, in: path}}");
    assert!(errors(&stray)[0].contains("is not part of the path"));
}

#[test]
fn the_input_schema_says_what_a_client_may_send() {
    let source = one_tool(
        "method: POST\npath: /x/{id}\nparams:\n  id: {type: integer, in: path, required: true, description: The id.}\n  z: {type: array, in: query}\n  a: {type: object, in: body, required: true}\n  kept: {type: string, in: body, required: true, default: x}\n  X-Trace: {type: string, in: header}",
    );
    let (tool, call) = tool(&compiled(&source));
    let expected = json!({
        "type": "object",
        "properties": {
            "id": {"type": "integer", "description": "The id."},
            "z": {"type": "array", "items": {}},
            "a": {"type": "object"},
            "kept": {"type": "string", "default": "x"},
            "X-Trace": {"type": "string"},
        },
        "required": ["id", "a"],
        "additionalProperties": false,
    });
    assert_eq!(schema(&tool), expected);
    assert_eq!(schema(&tool).to_string(), expected.to_string(), "in the order of the file");
    assert_eq!(call.params[3].default_json, "\"x\"");
    assert!(!call.params[3].required);
    assert_eq!((call.method.as_str(), call.body()), ("POST", BodyEncoding::Json));
    assert_eq!((tool.title.as_str(), tool.access.as_str()), ("Demo", "read"));
}

#[test]
fn the_content_type_decides_how_a_body_is_written() {
    let body = "params: {a: {type: string, in: body}}";
    let two = "params: {a: {type: string, in: body}, b: {type: string, in: body}}";
    let file = "params: {a: {type: file_url, in: body}}".to_owned();
    for (keys, encoding) in [
        (body.to_owned(), BodyEncoding::Json),
        (format!("content_type: application/x-www-form-urlencoded\n{two}"), BodyEncoding::Form),
        (format!("content_type: application/vnd.api+json\n{two}"), BodyEncoding::Json),
        (format!("content_type: text/json\n{body}"), BodyEncoding::Json),
        (format!("content_type: text/plain\n{body}"), BodyEncoding::Text),
        ("content_type: application/json".to_owned(), BodyEncoding::None),
        ("content_type: multipart/form-data".to_owned(), BodyEncoding::None),
        ("content_type: application/octet-stream".to_owned(), BodyEncoding::None),
        (format!("content_type: multipart/form-data\n{two}"), BodyEncoding::Multipart),
        (format!("content_type: application/octet-stream\n{body}"), BodyEncoding::Raw),
        (format!("content_type: application/octet-stream\n{two}"), BodyEncoding::Json),
        (file.clone(), BodyEncoding::Raw),
        (format!("content_type: image/png\n{file}"), BodyEncoding::Raw),
        (format!("content_type: multipart/form-data\n{file}"), BodyEncoding::Multipart),
        (file.replace("}}", "}, b: {type: string, in: body}}"), BodyEncoding::Multipart),
    ] {
        let (_, call) = tool(&compiled(&one_tool(&format!("method: POST\npath: /x\n{keys}"))));
        assert_eq!(call.body(), encoding, "{keys}");
    }
    let source = document(
        "  defaults: {headers: {Content-Type: application/x-www-form-urlencoded, Accept: text/plain}, nest_body_keys: true}\n  tools:\n    a:\n      method: POST\n      path: /a\n      description: A.\n      params: {a.b: {type: string, in: body}}\n",
    );
    let compiled = compiled(&source);
    let (_, call) = tool(&compiled);
    assert_eq!((call.body(), call.nest_body_keys), (BodyEncoding::Form, true));
    assert_eq!(compiled.connector.default_headers.len(), 1, "the content type is sent with bodies only");
}

#[test]
fn a_tools_own_response_replaces_the_inherited_one() {
    let source = document(
        "  defaults: {response: {result_path: $.data-items, max_items: 5}, errors: {message_path: $.error.message}}\n  tools:\n    a: {method: GET, path: /a, access: read, description: A.}\n    b: {method: GET, path: /b, access: read, description: B., response: {max_items: 9}}\n",
    );
    let calls: Vec<v1::RestCall> = compiled(&source)
        .connector
        .tools
        .into_iter()
        .filter_map(|tool| match tool.call {
            Some(Call::Rest(call)) => Some(call),
            Some(Call::Composite(_) | Call::Upstream(_)) | None => None,
        })
        .collect();
    let rule = |index: usize| calls[index].response.clone().unwrap();
    assert_eq!((rule(0).result_path.as_str(), rule(0).max_items), ("$['data-items']", 5));
    assert_eq!((rule(1).result_path.as_str(), rule(1).max_items), ("", 9));
    assert_eq!(calls[1].errors.clone().unwrap().message_path, "$.error.message");
}

#[test]
fn exposed_paging_adds_the_arguments_that_a_tool_does_not_declare() {
    let defaults = "  defaults: {pagination: {strategy: page, behavior: expose, request: {cursor_param: page, limit_param: per_page, limit_default: 30}}}\n";
    let source = document(&format!(
        "{defaults}  tools:\n    list_a: {{method: GET, path: /a, access: read, description: A.}}\n    b: {{method: POST, path: /b, access: write, description: B.}}\n    c: {{method: GET, path: /c, access: read, description: C., pagination: none}}\n    d: {{method: GET, path: /d, access: read, description: D., params: {{page: {{type: string, in: query}}}}}}\n"
    ));
    let compiled = compiled(&source);
    let names: Vec<Vec<String>> = compiled
        .connector
        .tools
        .iter()
        .map(|tool| schema(tool)["properties"].as_object().unwrap().keys().cloned().collect())
        .collect();
    assert_eq!(names, [vec!["page", "per_page"], vec![], vec![], vec!["page", "per_page"]]);
    assert_eq!(schema(&compiled.connector.tools[0])["properties"]["page"]["type"], "integer");
    assert_eq!(schema(&compiled.connector.tools[3])["properties"]["page"]["type"], "string");
    assert_eq!(compiled.connector.probe_tool, "list_a");
    assert_eq!(compiled.connector.probe_arguments_json, r#"{"per_page":1}"#);
}

fn kind(auth: &str) -> (Kind, Setup) {
    let source = document(&format!(
        "  auth: {auth}\n  tools:\n    a: {{method: GET, path: /a, access: read, description: A.}}\n"
    ));
    let compiled = compiled(&source);
    (compiled.connector.auth.unwrap().kind.unwrap(), compiled.setup)
}

#[test]
fn every_kind_of_credential_has_its_defaults_and_its_fields() {
    let (found, setup) = kind("{type: bearer, credential: api_token}");
    let bearer = |header: &str, prefix: &str| {
        Kind::Bearer(v1::BearerAuth {
            credential: "api_token".into(),
            header: header.into(),
            prefix: prefix.into(),
        })
    };
    assert_eq!(found, bearer("Authorization", "Bearer "));
    assert_eq!(
        (setup.credentials[0].name.as_str(), setup.credentials[0].label.as_str()),
        ("api_token", "API token")
    );
    assert!(setup.credentials[0].secret);
    assert_eq!(kind("{type: bearer, credential: api_token, prefix: ''}").0, bearer("Authorization", ""));
    let cookie = "{type: bearer, credential: api_token, header_name: Cookie, prefix: 'session='}";
    assert_eq!(kind(cookie).0, bearer("Cookie", "session="));

    let (found, setup) = kind("{type: basic, username_credential: user, password_credential: password}");
    assert!(matches!(found, Kind::Basic(basic) if basic.username_credential == "user"));
    assert_eq!(setup.credentials.iter().map(|c| c.secret).collect::<Vec<_>>(), [false, true]);

    for word in ["apikey", "api_key"] {
        let (found, _) = kind(&format!("{{type: {word}, credential: key}}"));
        assert!(
            matches!(found, Kind::ApiKey(key) if key.place == Some(v1::api_key_auth::Place::Header("X-API-Key".into())))
        );
    }
    let (found, _) = kind("{type: apikey, credential: key, inject_into: query, query_param: k}");
    assert!(
        matches!(found, Kind::ApiKey(key) if key.place == Some(v1::api_key_auth::Place::Query("k".into())))
    );
    for none in [
        "{type: apikey, credential: none, inject_into: query}",
        "{type: none}",
        "{type: bearer, credential: none}",
    ] {
        let (found, setup) = kind(none);
        assert!(matches!(found, Kind::None(_)) && setup.credentials.is_empty(), "{none}");
    }
}

#[test]
fn a_credential_that_nobody_could_send_refuses_the_whole_document() {
    for (auth, word) in [
        ("{type: digest, credential: a}", "digest"),
        ("{type: bearer}", "credential: is missing"),
        ("{type: apikey, credential: key, inject_into: query}", "query_param: is missing"),
        ("{type: bearer, credential: 'sk-live-0123 4567'}", "the secret itself is never written"),
        ("{type: bearer, credential: key, header_name: Host}", "cannot carry a credential"),
        ("{type: apikey, credential: key, prefix: \"a\\r\\nb\"}", "no header may hold"),
    ] {
        let source = document(&format!(
            "  auth: {auth}\n  tools:\n    a: {{method: GET, path: /a, access: read, description: A.}}\n"
        ));
        let found = errors(&source);
        assert!(found.iter().any(|error| error.contains(word)), "{auth}: {found:?}");
    }
}

#[test]
fn headers_of_the_gateway_are_not_for_documents_or_callers() {
    let source = document(
        "  auth: {type: apikey, credential: k, header_name: X-Key}\n  defaults: {headers: {Host: evil.example, Content-Length: 3, X-Key: mine, X-Fine: 1}}\n  tools:\n    a:\n      method: GET\n      path: /a\n      access: read\n      description: A.\n      params:\n        authorization: {type: string, in: header}\n        x-key: {type: string, in: header}\n        X-Ok: {type: string, in: header}\n",
    );
    let compiled = compiled(&source);
    let names: Vec<&str> =
        compiled.connector.default_headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["X-Fine"]);
    let (_, call) = tool(&compiled);
    assert_eq!(call.params.iter().map(|param| param.name.as_str()).collect::<Vec<_>>(), ["X-Ok"]);
    assert!(compiled.warnings.len() >= 4);
    let split = document(
        "  defaults: {headers: {X-A: \"a\\r\\nHost: b\"}}\n  tools:\n    a: {method: GET, path: /a, description: A.}\n",
    );
    assert!(errors(&split)[0].contains("no header may hold"));
}

#[test]
fn a_base_url_is_a_web_address_without_secrets() {
    for (url, word) in [
        ("ftp://example.com", "https://"),
        ("file:///etc/passwd", "https://"),
        ("https://user:pw@example.com", "user name or password"),
        ("https://example.com/?a=b", "must not hold"),
        ("example.com", "is not a URL"),
    ] {
        let source = one_tool("method: GET\npath: /x").replace("https://api.example.com/v1", url);
        assert!(errors(&source)[0].contains(word), "{url}");
    }
    let own =
        one_tool("method: GET\npath: /x").replace("https://api.example.com/v1", "\"https://{host}/api\"");
    let compiled = compiled(&own);
    assert_eq!((compiled.connector.base_url.as_str(), compiled.hosts().len()), ("", 0));
}

#[test]
fn hints_deprecation_and_order_reach_the_description() {
    let source = document(
        "  hints: {b: {units: cents}, gone: {x: y}}\n  tools:\n    a: {method: GET, path: /a, access: read, description: A.}\n    b: {method: GET, path: /b, access: read, description: B., deprecated: too slow., replaced_by: a, depends_on: [a]}\n",
    );
    let compiled = compiled(&source);
    assert_eq!(
        compiled.connector.tools[1].description,
        "Deprecated: too slow. Use a instead. B.\nUsually called after: a.\nNote: units: cents"
    );
}

#[test]
fn the_test_call_is_the_declared_one_or_the_most_harmless() {
    let tools = "  tools:\n    delete_all: {method: POST, path: /d, access: dangerous, description: D.}\n    list_x: {method: GET, path: /x, access: read, description: X.}\n    whoami: {method: GET, path: /me, access: read, description: M.}\n";
    let probe = |head: &str| compiled(&document(&format!("{head}{tools}"))).connector.probe_tool;
    assert_eq!(probe(""), "whoami");
    assert_eq!(probe("  health: {tool: list_x}\n"), "health");
    assert_eq!(probe("  health: {tool: delete_all}\n"), "whoami");
    assert_eq!(probe("  health: {path: /ping}\n"), "health");
}

#[test]
fn a_health_check_is_a_tool_without_arguments_that_only_gives_a_verdict() {
    let tools = "  defaults: {response: {result_path: $.data}, errors: {message_path: $.error}}\n  tools:\n    list_x:\n      method: GET\n      path: /x\n      access: read\n      description: X.\n      params: {page: {type: integer, in: query}, v: {type: integer, in: query, default: 2}}\n";
    let check = |block: &str| compiled(&document(&format!("  health: {block}\n{tools}"))).connector;
    let connector = check("{tool: list_x, expect_status: 200, expect_path: $.ok, timeout: 2s}");
    assert_eq!(connector.tools.last(), connector.health.as_ref());
    let Some(Call::Rest(call)) = connector.health.unwrap().call else { panic!("no call") };
    assert_eq!(call.params.iter().map(|p| (p.name.as_str(), p.fixed)).collect::<Vec<_>>(), [("v", true)]);
    assert_eq!((call.response, call.errors.unwrap().message_path.as_str()), (None, "$.error"));
    let rule = call.health.unwrap();
    assert_eq!((rule.expect_status, rule.expect_path.as_str(), rule.timeout_ms), (200, "$.ok", 2000));

    let hidden = check("{method: HEAD, path: /ping, expose: false}");
    assert_eq!((hidden.tools.len(), hidden.health.unwrap().name.as_str()), (1, "health"));
    for (block, word) in [
        ("{}", "neither a tool nor a path"),
        ("{path: '/{id}'}", "placeholder"),
        ("{path: /a, tool: list_x}", "beside `tool`"),
        ("{path: /a, timeout: soon}", "timeout"),
        ("{path: /a, expect_status: 9}", "HTTP status"),
        ("{path: https://evil.example/x}", "another host"),
        ("{path: /a, expect_path: ok}", "starts with `$`"),
    ] {
        let found = errors(&document(&format!("  health: {block}\n{tools}")));
        assert!(found.iter().any(|error| error.contains(word)), "{block}: {found:?}");
    }
}

#[test]
fn a_file_is_taken_by_its_url_and_the_model_is_told_so() {
    let (tool, call) = tool(&compiled(&one_tool(
        "method: POST\npath: /x\nmax_body_size: 20MB\nparams: {f: {type: file_url, in: body, required: true, description: A picture.}}",
    )));
    assert_eq!((call.params[0].r#type(), call.max_body_bytes), (v1::ParamType::File, 20 << 20));
    let property = &schema(&tool)["properties"]["f"];
    assert_eq!(property["type"], "string");
    assert!(property["description"].as_str().unwrap().starts_with("A picture. Give the http or https URL"));
    let elsewhere = one_tool("method: GET\npath: /x\nparams: {f: {type: file_url, in: query}}");
    assert!(warnings(&elsewhere).contains("the URL itself is sent"));
}

#[test]
fn names_that_clients_refuse_are_offered_under_plain_ones() {
    let (tool, call) = tool(&compiled(&one_tool(
        "method: GET\npath: /x\nparams:\n  types[]: {type: array, in: query, required: true}\n  types: {type: string, in: query}\n  'filter[name:eq]': {type: string, in: query}",
    )));
    let names: Vec<(&str, &str)> =
        call.params.iter().map(|param| (param.name.as_str(), param.wire_name.as_str())).collect();
    assert_eq!(names, [("types_2", "types[]"), ("types", ""), ("filter_name_eq", "filter[name:eq]")]);
    assert_eq!(call.params[0].aliases, ["types[]"]);
    assert_eq!(schema(&tool)["required"], json!(["types_2"]));
}

#[test]
fn an_idempotency_key_is_the_gateways_alone() {
    let keys = "method: POST\npath: /x\nidempotency: {header: Idempotency-Key, generate: uuid_v4}";
    let (_, call) = tool(&compiled(&one_tool(keys)));
    assert_eq!(call.idempotency_header, "Idempotency-Key");
    let params = "\nparams: {idempotency-key: {type: string, in: header}}";
    for (bad, word) in [
        (format!("{keys}{params}"), "callers do not choose"),
        (keys.replace("uuid_v4", "uuid_v9"), "uuid_v9"),
        (keys.replace("Idempotency-Key", "Authorization"), "something else"),
        (keys.replace("Idempotency-Key", "a b"), "not a header name"),
        (keys.replace("header: Idempotency-Key, ", ""), "header: is missing"),
    ] {
        let found = errors(&one_tool(&bad));
        assert!(found.iter().any(|error| error.contains(word)), "{bad}: {found:?}");
    }
}

#[test]
fn a_size_that_cannot_be_read_is_refused_and_a_huge_one_is_cut() {
    let sized = |size: &str| one_tool(&format!("method: POST\npath: /x\nmax_body_size: {size}"));
    assert_eq!(tool(&compiled(&sized("5GB"))).1.max_body_bytes, 100 << 20);
    assert!(warnings(&sized("5GB")).contains("100 MiB is the limit"));
    for bad in ["soon", "0", "-5MB", "[1]"] {
        assert!(errors(&sized(bad))[0].contains("demo.dadl:14:22: "), "{bad}");
    }
}
