//! The answer half of a tool: what of the file reaches the node, and what is refused with its place.

use serde_json::{Value as Json, json};
use toolmesh_proto::v1::{self, paging::Strategy, retry::Backoff, tool::Call};

use super::compile;

/// A document with one GET tool; `defaults` and `keys` are lines of YAML without indentation.
fn document(defaults: &str, keys: &str) -> String {
    with_method("GET", defaults, keys)
}

fn with_method(method: &str, defaults: &str, keys: &str) -> String {
    let indent = |text: &str, by: usize| {
        text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect::<String>()
    };
    format!(
        "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nbackend:\n  name: demo\n  type: rest\n  base_url: https://api.example.com\n  description: Demo.\n  auth: {{type: none}}\n{}  tools:\n    demo:\n      method: {method}\n      path: /x\n      access: read\n      description: Demo.\n{}",
        indent(defaults, 2),
        indent(keys, 6)
    )
}

fn tool(source: &str) -> v1::Tool {
    let compiled = compile(source, "demo.dadl").unwrap_or_else(|errors| panic!("{errors}"));
    assert!(compiled.left_out.is_empty(), "{:?}", compiled.left_out);
    compiled.connector.tools.into_iter().next().unwrap()
}

fn call(source: &str) -> v1::RestCall {
    match tool(source).call {
        Some(Call::Rest(call)) => call,
        other => panic!("{other:?}"),
    }
}

fn errors(source: &str) -> Vec<String> {
    let errors = compile(source, "demo.dadl").expect_err(source);
    errors.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn every_rule_of_an_answer_reaches_the_node() {
    let rule = call(&document(
        "",
        "response:\n  result_path: $.data-items\n  transform: |\n    map({id})\n  redact: ['$[*].token', '$.a-b']\n  max_items: 5\n  allow_jq_override: true\n  metadata_path: $\n",
    ))
    .response
    .unwrap();
    assert_eq!((rule.result_path.as_str(), rule.transform.trim()), ("$['data-items']", "map({id})"));
    assert_eq!(rule.redact, ["$[*].token", "$['a-b']"]);
    assert_eq!((rule.max_items, rule.allow_jq, rule.metadata_path.as_str()), (5, true, "$"));
    let file = call(&document("", "response: {type: file_url, ttl: 1h, content_type: application/gzip}"))
        .response
        .unwrap();
    assert_eq!((file.file, file.media_type.as_str()), (true, "application/gzip"));
    assert_eq!(file.link_seconds, 3600);
    assert!(call(&document("", "response: {binary: true}")).response.unwrap().file);
    for (response, seconds, word) in [
        ("{binary: true, ttl: 90}", 90, ""),
        ("{binary: true, ttl: 24h}", 3600, "an hour at most"),
        ("{ttl: 5m}", 0, "has no effect"),
    ] {
        let compiled = compile(&document("", &format!("response: {response}")), "demo.dadl").unwrap();
        let Some(Call::Rest(call)) = &compiled.connector.tools[0].call else { panic!("no call") };
        assert_eq!(call.response.as_ref().unwrap().link_seconds, seconds, "{response}");
        let warnings: String = compiled.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.contains(word) && warnings.is_empty() == word.is_empty(), "{warnings}");
    }
    let stream = "response: {streaming: true, stream_handling: collect, max_duration: 10s, max_items: 7}";
    let stream = call(&document("", stream)).response.unwrap().streaming.unwrap();
    assert_eq!((stream.skip, stream.max_millis, stream.max_items), (false, 10_000, 7));
}

#[test]
fn a_program_of_the_callers_own_is_an_argument_where_the_file_allows_it() {
    let schema =
        |keys: &str| -> Json { serde_json::from_str(&tool(&document("", keys)).input_schema_json).unwrap() };
    let allowed = schema("response: {allow_jq_override: true}");
    assert_eq!(allowed["properties"]["_jq"]["type"], "string");
    assert_eq!(allowed.get("required"), None);
    assert_eq!(schema("response: {max_items: 1}")["properties"], json!({}));
}

#[test]
fn masks_add_up_and_everything_else_of_a_tool_replaces_what_is_inherited() {
    let defaults = "defaults: {response: {transform: 'del(.x)', redact: [$.secret], max_items: 3}}";
    let inherited = call(&document(defaults, "")).response.unwrap();
    assert_eq!((inherited.transform.as_str(), inherited.max_items), ("del(.x)", 3));
    let own = call(&document(defaults, "response: {redact: [$.own, $.secret]}")).response.unwrap();
    assert_eq!((own.transform.as_str(), own.max_items), ("", 0));
    assert_eq!(own.redact, ["$.own", "$.secret"]);
}

#[test]
fn a_rule_that_cannot_be_followed_is_refused_with_its_place() {
    for (keys, words) in [
        ("response: {transform: 'map('}", ["is not a jq program", "line 1, column"].as_slice()),
        (
            "response:\n  transform: |\n    .a |\n      foo(1)",
            &["there is no filter foo", "line 2, column 3 of the program"],
        ),
        ("response: {transform: 'env.HOME'}", &["there is no filter env"]),
        ("response: {transform: 'input'}", &["there is no filter input"]),
        ("response: {redact: [$]}", &["masks the whole answer"]),
        ("response: {redact: ['$..a']}", &["name the keys one by one"]),
        ("response: {type: image}", &["is not known"]),
        ("response: {streaming: true, stream_handling: stream}", &["is not known"]),
        ("response: {streaming: true, max_duration: soon}", &["is not a length of time"]),
        ("response: {binary: true, transform: .}", &["is a file"]),
        ("response: {binary: true, content_type: png}", &["is not a media type"]),
        ("errors: {retry_on: [99]}", &["is not an HTTP status"]),
        ("errors: {map: {200: ok}}", &["is not an HTTP status"]),
        ("errors: {map: {404: 'no such'}}", &["is not a code"]),
        ("errors: {retry_strategy: {backoff: random}}", &["is not known"]),
        ("errors: {retry_strategy: {initial_delay: x}}", &["is not a length of time"]),
        ("pagination: {strategy: pages}", &["is not known"]),
        ("pagination: {strategy: page, behavior: guess}", &["is not known"]),
        ("pagination: {strategy: page, response: {has_more: 'page < 3'}}", &["starts with `$`"]),
        ("pagination: {strategy: page, response: {total_pages_header: 'a b'}}", &["is not a header name"]),
    ] {
        let found = errors(&document("", keys));
        assert!(found.iter().any(|error| words.iter().all(|word| error.contains(word))), "{keys}: {found:?}");
        assert!(found[0].starts_with("demo.dadl:1"), "{found:?}");
    }
}

#[test]
fn retries_are_only_for_what_may_be_sent_twice() {
    let keys = "errors:\n  format: json\n  message_path: $.error\n  code_path: $.code\n  terminal: [404, 429]\n  retry_on: [429, 503]\n  map: {404: no_widget}\n  retry_strategy: {max_retries: 2, backoff: linear, initial_delay: 250ms}\n  rate_limit: {header: X-Left, retry_after_header: X-Wait}\n";
    let found = call(&document("", keys));
    let retry = found.retry.unwrap();
    assert_eq!(
        (retry.statuses.as_slice(), retry.max_retries, retry.initial_millis),
        ([503].as_slice(), 2, 250)
    );
    assert_eq!(
        (retry.backoff(), retry.remaining_header.as_str(), retry.retry_after_header.as_str()),
        (Backoff::Linear, "X-Left", "X-Wait")
    );
    let rule = found.errors.unwrap();
    assert_eq!(
        (rule.message_path.as_str(), rule.code_path.as_str(), rule.plain),
        ("$.error", "$.code", false)
    );
    assert_eq!((rule.codes[0].status, rule.codes[0].code.as_str()), (404, "no_widget"));
    for method in ["PUT", "DELETE", "HEAD"] {
        assert!(call(&with_method(method, "", keys)).retry.is_some(), "{method}");
    }
    for method in ["POST", "PATCH"] {
        assert!(call(&with_method(method, "", keys)).retry.is_none(), "{method}");
        assert!(
            call(&with_method(method, "", &format!("{keys}retry_unsafe: true"))).retry.is_some(),
            "{method}"
        );
    }
    assert!(call(&document("", "errors: {retry_on: [503]}")).retry.is_none(), "no strategy, no retry");
    assert!(call(&document("", "errors: {format: text}")).errors.unwrap().plain);
}

#[test]
fn paging_reaches_the_node_with_its_irregularities() {
    let keys = "pagination:\n  strategy: page\n  behavior: auto\n  max_pages: 7\n  request: {cursor_param: page, limit_param: per_page, limit_default: 50}\n  response: {next_cursor: $.next, has_more: $.page < $.pages, total_pages_header: X-Pages, total_count_header: X-Total}\n";
    let found = tool(&document("", keys));
    let schema: Json = serde_json::from_str(&found.input_schema_json).unwrap();
    assert!(
        schema["properties"]["page"].is_object() && schema["properties"]["per_page"].is_object(),
        "{schema}"
    );
    let paging = call(&document("", keys)).paging.unwrap();
    assert_eq!((paging.strategy(), paging.auto, paging.max_pages), (Strategy::Page, true, 7));
    assert_eq!(
        (paging.position_param.as_str(), paging.limit_param.as_str(), paging.limit_default),
        ("page", "per_page", 50)
    );
    let more = paging.has_more.unwrap();
    assert_eq!((more.path.as_str(), more.other_path.as_str()), ("$.page", "$.pages"));
    assert_eq!(
        (paging.total_pages_header.as_str(), paging.total_count_header.as_str()),
        ("X-Pages", "X-Total")
    );
    let defaults =
        "defaults: {pagination: {strategy: offset, behavior: expose, request: {offset_param: skip}}}";
    assert!(!call(&document(defaults, "")).paging.unwrap().auto);
    assert!(call(&document(defaults, "pagination: none")).paging.is_none());
    let own = call(&document(defaults, "pagination: {strategy: cursor, request: {cursor_param: after}}"))
        .paging
        .unwrap();
    assert_eq!(
        (own.strategy(), own.position_param.as_str()),
        (Strategy::Cursor, "after"),
        "a tool's own goes first"
    );
}

#[test]
fn types_become_schemas_that_hold_what_they_refer_to() {
    let types = "types:\n  Invoice: {type: object, properties: {id: string, lines: {type: array, items: Line}, next: Invoice}, required: [id]}\n  Line: {type: object, properties: {n: {type: integer, description: How many.}}}\n  Unused: {type: string}\n";
    let schema = |returns: &str| -> Json {
        serde_json::from_str(&tool(&document(types, &format!("returns: {returns}"))).output_schema_json)
            .unwrap()
    };
    let invoice = schema("{type: array, items: Invoice}");
    assert_eq!(invoice["items"], json!({"$ref": "#/$defs/Invoice"}));
    assert_eq!(invoice["$defs"]["Invoice"]["properties"]["id"], json!({"type": "string"}));
    assert_eq!(invoice["$defs"]["Invoice"]["properties"]["next"], json!({"$ref": "#/$defs/Invoice"}));
    assert_eq!(invoice["$defs"]["Line"]["properties"]["n"]["description"], "How many.");
    assert_eq!(invoice["$defs"].get("Unused"), None);
    assert_eq!(schema("Line")["$ref"], "#/$defs/Line");
    assert_eq!(schema("{$ref: '#/backend/types/Line'}")["$ref"], "#/$defs/Line");
    assert_eq!(schema("string"), json!({"type": "string"}));
    assert_eq!(tool(&document(types, "")).output_schema_json, "");
    let compiled = compile(&document(types, "returns: Nothing"), "demo.dadl").unwrap();
    assert!(
        compiled.warnings.iter().any(|w| w.to_string().contains("which there is not")),
        "{:?}",
        compiled.warnings
    );
    let all: Json = serde_json::from_str(&compiled.connector.types_json).unwrap();
    assert_eq!(all["Unused"], json!({"type": "string"}));
}
