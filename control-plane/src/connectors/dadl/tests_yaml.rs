//! The text itself: what YAML 1.2 makes of it, and what its author is told to write instead.

use toolmesh_proto::v1::tool::Call;

use super::compile;

/// A document whose one tool has these parameters.
fn document(params: &str) -> String {
    format!(
        "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nbackend:\n  name: demo\n  type: rest\n  description: A demo.\n  \
         base_url: https://api.example.com\n  auth: {{type: none}}\n  tools:\n    demo:\n      method: GET\n      path: /x\n      \
         access: read\n      description: Gets it.\n      params: {params}\n"
    )
}

fn refused(source: &str) -> Vec<String> {
    let errors = compile(source, "demo.dadl").expect_err(source);
    errors.errors.iter().map(ToString::to_string).collect()
}

fn defaults(params: &str) -> Vec<String> {
    let compiled = compile(&document(params), "demo.dadl").unwrap_or_else(|errors| panic!("{errors}"));
    let Some(Call::Rest(call)) = &compiled.connector.tools[0].call else { panic!("no call") };
    call.params.iter().map(|param| param.default_json.clone()).collect()
}

#[test]
fn whoever_writes_no_yaml_is_told_what_to_write_instead() {
    for (from, to, help) in [
        ("Gets it.", "Gets it: all of it.", "put a text that holds `: ` in quotes"),
        ("Gets it.", "@home", "that begins with this character in quotes"),
        ("Gets it.", "'It's here'", "within single quotes as ''"),
        ("      path", "\tpath", "indent with spaces"),
        ("      path", "     path", "indent the keys of a mapping alike"),
        ("{}", "*shared", "write &name where the value stands first"),
        ("{}", "{q: {type: string, in: query}", "close it, or put the text in quotes"),
        ("{}", "{q: {type: string, in: query, default: {a}b}}", "braces, brackets or commas in quotes"),
        ("Gets it.", "!secret x", "leave the tag out"),
    ] {
        let found = refused(&document("{}").replacen(from, to, 1));
        assert!(found[0].contains(help), "{to}: {found:?}");
    }
}

#[test]
fn numbers_are_those_of_yaml_1_2() {
    let params = "{a: {type: integer, in: query, default: 017}, b: {type: integer, in: query, default: 0o17}, \
                  c: {type: integer, in: query, default: 0x1F}, d: {type: integer, in: query, default: +12}, \
                  e: {type: integer, in: query, default: -008}, f: {type: string, in: query, default: 007}, \
                  g: {type: string, in: query, default: 0b11}}";
    assert_eq!(defaults(params), ["17", "15", "31", "12", "-8", "\"007\"", "\"0b11\""]);
    let compiled = compile(&document(params), "demo.dadl").unwrap();
    assert!(compiled.warnings.is_empty(), "{:?}", compiled.warnings);
}

#[test]
fn byte_order_marks_carriage_returns_and_directives_change_nothing() {
    let plain = document("{q: {type: string, in: query, default: 2026-01-02}}");
    let wanted = compile(&plain, "demo.dadl").unwrap();
    for source in
        [format!("\u{feff}{plain}"), plain.replace('\n', "\r\n"), format!("%YAML 1.2\n---\n{plain}...\n")]
    {
        let compiled = compile(&source, "demo.dadl").unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(compiled.connector, wanted.connector);
    }
}

#[test]
fn what_is_wrong_once_is_said_once_with_the_way_out() {
    let twice = document("{}").replace("    demo:\n", "    demo: {method: GET}\n    demo:\n");
    let found = refused(&twice);
    assert_eq!(found.iter().filter(|error| error.contains("is there twice")).count(), 1, "{found:?}");
    for (keys, help) in [
        ("errors: {retry_on: [5xx]}", "write each from 200 to 599 by itself"),
        ("errors: {map: {5xx: down}}", "write one line for each status"),
        ("response: {max_items: '10'}", "write it without quotes"),
    ] {
        let found = refused(&document("{}").replace("      params: {}", &format!("      {keys}")));
        assert!(found[0].contains(help), "{keys}: {found:?}");
    }
    let required = document("{}").replace("backend:", "requires: {features: [telepathy]}\nbackend:");
    assert!(refused(&required)[0].contains("it executes returns,"), "{:?}", refused(&required));
}
