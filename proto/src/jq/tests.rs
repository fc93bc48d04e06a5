//! What programs give, what is refused, and that no program runs away.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{MAX_PROGRAM, Program, ProgramError, RunError};

fn run(program: &str, input: &str) -> Result<String, RunError> {
    run_within(program, input, Duration::from_secs(20))
}

fn run_within(program: &str, input: &str, within: Duration) -> Result<String, RunError> {
    let program = Program::compile(program).unwrap_or_else(|error| panic!("{program}: {error}"));
    let (send, receive) = mpsc::channel();
    program.run(input.to_owned(), within, move |result| send.send(result).unwrap());
    receive.recv_timeout(Duration::from_secs(60)).unwrap()
}

fn refused(program: &str) -> ProgramError {
    Program::compile(program).expect_err(program)
}

#[test]
fn one_output_is_the_result_and_others_are_a_list() {
    assert_eq!(run(".a", r#"{"a":1}"#).unwrap(), "1");
    assert_eq!(run(".[]", "[1,2]").unwrap(), "[1,2]");
    assert_eq!(run("empty", "1").unwrap(), "[]");
}

#[test]
fn numbers_keep_every_digit_that_nobody_calculates_with() {
    let input = r#"{"id":9007199254740993,"big":123456789012345678901234567890,"price":10.10,"e":1e400}"#;
    assert_eq!(run(".", input).unwrap(), input);
    assert_eq!(run(".id + 1", input).unwrap(), "9007199254740994");
    assert_eq!(run(".id | tostring", input).unwrap(), "\"9007199254740993\"");
    assert_eq!(
        run("[4 / 2, 1 / 3 * 3, nan, infinite]", "null").unwrap(),
        "[2,1,null,1.7976931348623157e+308]"
    );
}

#[test]
fn the_parts_of_the_language_that_connectors_use_work() {
    for (program, input, output) in [
        (
            "to_entries | map({id: .key, on: (.value.on // false)})",
            r#"{"a":{"on":true},"b":{}}"#,
            r#"[{"id":"a","on":true},{"id":"b","on":false}]"#,
        ),
        ("with_entries(.value += 1)", r#"{"a":1}"#, r#"{"a":2}"#),
        (
            "[.[] | select(.n > 1) | {n, s: (.s | ascii_downcase)}]",
            r#"[{"n":1},{"n":2,"s":"AB"}]"#,
            r#"[{"n":2,"s":"ab"}]"#,
        ),
        (r#"[.[] | gsub("<[^>]*>"; "") | .[:3]]"#, r#"["<p>Hello</p>","é&lt;"]"#, r#"["Hel","é&l"]"#),
        ("def f(g): [.[] | g]; f(. * 2) | add", "[1,2]", "6"),
        ("if type == \"array\" then . else [.] end", "1", "[1]"),
        ("[.labels[]?.title]", r#"{"labels":null}"#, "[]"),
        (
            "walk(if type == \"object\" then del(.secret) else . end)",
            r#"{"a":[{"secret":1,"b":2}],"secret":3}"#,
            r#"{"a":[{"b":2}]}"#,
        ),
        ("split(\",\") | map(tonumber) | join(\"-\")", "\"1,2\"", "\"1-2\""),
        ("[.[] | todate]", "[0]", r#"["1970-01-01T00:00:00Z"]"#),
        ("reduce .[] as $x (0; . + $x)", "[1,2,3]", "6"),
        ("[limit(3; repeat(1))] | length", "null", "3"),
        ("[range(0; 10; 3)]", "null", "[0,3,6,9]"),
        (". as {a: $x, b: [$y]} | $x + $y", r#"{"a":1,"b":[2]}"#, "3"),
        (r#"test("^a+$"), (capture("(?<n>\\d+)") | .n)?"#, "\"aa\"", "true"),
        (
            "sort_by(.n) | group_by(.g) | map(length)",
            r#"[{"n":2,"g":1},{"n":1,"g":1},{"n":0,"g":2}]"#,
            "[2,1]",
        ),
        ("(.a, .b) |= 5 | .c.d = 1 | del(.a)", r#"{"a":1,"b":2}"#, r#"{"b":5,"c":{"d":1}}"#),
        ("try error(\"x\") catch .", "1", "\"x\""),
        ("label $out | .[] | if . > 1 then ., break $out else empty end", "[1,2,3]", "2"),
        ("[paths] | length", r#"{"a":[1]}"#, "2"),
        ("tojson | fromjson", r#"[{"a":"\"é\n"}]"#, r#"[{"a":"\"é\n"}]"#),
        ("[.[1:], .[-1], (.[0:1] |= [9])]", "[1,2,3]", "[[2,3],3,[9,2,3]]"),
        (
            "[indices(1), index(1), contains([2]), has(0), (length | . == 3)]",
            "[1,2,1]",
            "[[0,2],0,true,true,true]",
        ),
        ("\"\\(.a) and \\(.b | @base64)\"", r#"{"a":[1],"b":"x"}"#, "\"[1] and eA==\""),
        ("unique, (. - [1]), min, max", "[2,1,2]", "[[1,2],[2,2],1,2]"),
        (
            "map(@csv), (.[0] | @tsv)",
            r#"[[1,"a\"b",null,true],["x\ty"]]"#,
            r#"[["1,\"a\"\"b\",,true","\"x\ty\""],"1\ta\"b\t\ttrue"]"#,
        ),
        (r#"@csv "id: \([.id])""#, r#"{"id":7}"#, r#""id: 7""#),
        (
            "[leaf_paths | join(\".\")], [.a | IN(1, 2)], ([.a] | INDEX(. * 2))",
            r#"{"a":1}"#,
            r#"[["a"],[true],{"2":1}]"#,
        ),
        ("[toarray, (\"ab\" | trimstr(\"b\"))]", "3", r#"[[3],"a"]"#),
    ] {
        assert_eq!(run(program, input).as_deref(), Ok(output), "{program}");
    }
}

/// Where jaq has a way of its own and real programs count on jq's; each was compared with jq 1.6.
#[test]
fn nothing_is_treated_as_jq_treats_it() {
    for (program, input, output) in [
        (r#"join("-")"#, r#"[1,null,"a",true]"#, r#""1--a-true""#),
        (r#"map(ltrimstr("x")), map(rtrimstr("x"))"#, r#"["xa",null,3]"#, r#"[["a",null,3],["xa",null,3]]"#),
        ("reverse", "null", "[]"),
        (".body[:200], .body[1:][0]", "{}", "[null,null]"),
        (".a[1] = 5, (.b[0].c |= 1)", r#"{"a":[]}"#, r#"[{"a":[null,5]},{"a":[],"b":[{"c":1}]}]"#),
        (".a[1:] = [9]", "{}", r#"{"a":[9]}"#),
    ] {
        assert_eq!(run(program, input).as_deref(), Ok(output), "{program}");
    }
    assert_eq!(run(".[1000000000] = 1", "[]"), Err(RunError::Memory));
    let many = r#"[range(20000) | "x" * 20] | join(",") | length"#;
    assert_eq!(run(many, "null").as_deref(), Ok("419999"), "what is joined is paid for once");
}

#[test]
fn what_is_deleted_is_what_was_there_before() {
    for (program, input, output) in [
        ("del(.[0, 2])", "[1,2,3]", "[2]"),
        ("del(.[5], .[-9])", "[1]", "[1]"),
        ("del(.a.b, .c[0], .d[1:])", r#"{"x":1}"#, r#"{"x":1}"#),
        ("del(.a, .a.b)", r#"{"a":{"b":1},"c":2}"#, r#"{"c":2}"#),
        ("del(.[1:3])", "[1,2,3,4]", "[1,4]"),
        ("del(.[1:][0])", "[1,2,3]", "[1,3]"),
        ("del(.[] | select(. > 1))", "[1,2,3,1]", "[1,1]"),
        ("del(.. | .secret?)", r#"{"a":[{"secret":1,"b":2}],"secret":3}"#, r#"{"a":[{"b":2}]}"#),
        ("delpaths([[\"a\", 0], [\"b\"]])", r#"{"a":[1,2],"b":3}"#, r#"{"a":[2]}"#),
        ("delpaths([[]])", "1", "null"),
    ] {
        assert_eq!(run(program, input).as_deref(), Ok(output), "{program}");
    }
    assert!(run("del(.a.b)", r#"{"a":5}"#).is_err());
}

/// Each was compared with jq 1.6.
#[test]
fn ranges_that_are_deleted_may_overlap_and_mix_with_places() {
    const NUMBERS: &str = "[1,2,3,4,5]";
    const PAIRS: &str = "[[1,2],[3,4],[5,6]]";
    for (program, input, output) in [
        ("del(.[0:2], .[1:3])", NUMBERS, "[4,5]"),
        ("del(.[-2:], .[0])", NUMBERS, "[2,3]"),
        ("del(.[1:3], .[2], .[-1])", NUMBERS, "[1,4]"),
        ("del(.[:1], .[4:], .[-3:-2])", NUMBERS, "[2,4]"),
        ("del(.[2:1], .[3])", NUMBERS, "[1,2,3,5]"),
        ("del(.[9:], .[-9:1])", NUMBERS, "[2,3,4,5]"),
        (r#"delpaths([[{"start":1,"end":null}],[{"start":null,"end":-4}]])"#, NUMBERS, "[]"),
        (r#"delpaths([[2,0],[{"start":0,"end":2}]])"#, PAIRS, "[[6]]"),
        ("del(.[0:2], .[1][0], .[2][0])", PAIRS, "[[6]]"),
        ("del(.[1:][-1][0], .[0:1])", PAIRS, "[[3,4],[6]]"),
    ] {
        assert_eq!(run(program, input).as_deref(), Ok(output), "{program}");
    }
}

#[test]
fn ranges_hold_every_place_without_taking_room_for_each() {
    let few = r#"[range(200000)] | delpaths([range(60) | [{"start":0,"end":200000}]])"#;
    assert_eq!(run(few, "null").as_deref(), Ok("[]"));
    let many = r#"[range(2000000)] | delpaths([range(60) | [{"start":0,"end":2000000}]])"#;
    let ended = run(many, "null");
    let bound = matches!(ended, Err(RunError::Steps | RunError::Memory | RunError::Time(_)));
    assert!(bound || ended.as_deref() == Ok("[]"), "{:?}", ended.map(|text| text.len()));
}

#[test]
fn what_is_no_program_is_refused_with_its_place() {
    assert_eq!((refused(".a |\n  foo(1)").line, refused(".a |\n  foo(1)").column), (2, 3));
    assert!(refused(".a |\n  foo(1)").message.contains("there is no filter foo"));
    assert!(refused(". as $x | $y").message.contains("variable"));
    for bad in
        ["", ".[", ".a |", "{a: }", "\"abc", "def f: 1", "&", "import \"a\" as a; .", "if . then 1", "%"]
    {
        assert!(Program::compile(bad).is_err(), "{bad}");
    }
    assert!(refused(&format!("{}1{}", "[".repeat(200), "]".repeat(200))).message.contains("brackets"));
    assert!(refused(&" ".repeat(MAX_PROGRAM + 1)).message.contains("longer"));
}

#[test]
fn nothing_outside_can_be_reached() {
    for program in [
        "env",
        "$ENV",
        "halt",
        "halt_error",
        "input",
        "inputs",
        "debug",
        "stderr",
        "input_filename",
        "$__prog_args",
    ] {
        assert!(Program::compile(program).is_err(), "{program}");
    }
}

#[test]
fn an_error_of_the_program_is_its_result() {
    assert!(matches!(run(".a.b", r#"{"a":1}"#), Err(RunError::Failed(_))));
    assert_eq!(run("error(\"no\")", "1"), Err(RunError::Failed("no".into())));
}

#[test]
fn no_program_runs_for_ever_or_takes_all_memory_or_stack() {
    for program in [
        "def f: f; f",
        "def f: (f?), f; f",
        "def f: try f catch f; f",
        "[repeat(1)]",
        "last(range(infinite))",
        "[range(1e12)]",
        "reduce range(60) as $i (\"x\"; . + .)",
        "reduce range(60) as $i ([]; [., .])",
        "reduce range(60) as $i ({}; {a: ., b: .}) | tojson",
        "try (reduce range(60) as $i ([1]; [., .]) | test(\"x\")) catch .",
        "\"x\" * 1e12",
        "def f: [f]; f",
        "def f: 1 + f; f",
        "def f($n; x): if $n == 0 then x else f($n - 1; x | .) end; f(1000000; .)",
        "def f: def g: f; {a: g}; f",
        "def f(x): f(x | .); f(.)",
        "def f(x): f(.); f(.)",
        "def f(x; y): f(y | .; x | .); f(.; .)",
        "def f: . as $x | [$x, 1] | f; f",
        "reduce repeat(1) as $i (0; . + 1)",
        "[foreach repeat(1) as $i (0; . + 1)]",
        "[limit(infinite; range(infinite))] | length",
        "reduce range(1000000) as $i (null; [.])",
        "reduce range(1000000) as $i (1; {a: .})",
        "reduce range(100000) as $i (7; . * .)",
        "[range(300000)] | contains([range(300000)])",
        "[range(300000)] as $a | $a | indices($a[1:])",
        "(\"a\" * 100000) | test(\"(a{1000}){1000}b\")",
        "(\"[\" * 1000000) | fromjson",
        "[limit(100000000; repeat(\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"))] | add",
        "until(false; . + 1)",
        "[.[]?, range(1e9)] | sort",
        "def @f: @f \"\\(.)\"; 1 | @f",
        "[recurse(. + 1)]",
        "def f: ., (. + 1 | f); [0 | f] | last",
    ] {
        let start = Instant::now();
        let result = run_within(program, "0", Duration::from_secs(1));
        assert!(result.is_err(), "{program}: {:.100}", result.unwrap_or_default());
        assert!(start.elapsed() < Duration::from_secs(30), "{program} took {:?}", start.elapsed());
    }
    assert_eq!(run(".", "1").as_deref(), Ok("1"), "the process lives on");
}

#[test]
fn the_longest_programs_are_read_without_harm() {
    for program in [
        format!("1{}", "|1".repeat(4000)),
        format!("1{}", "+1".repeat(4000)),
        format!("{}1", "-".repeat(8000)),
        format!("{}1", "try ".repeat(2000)),
        format!("{}1", "def f:".repeat(1300)),
        format!("{}1", "1 as $x|".repeat(1000)),
        format!("{}1", "if ".repeat(2700)),
        format!(".{}", "[0]".repeat(2700)),
        "\"\\(".repeat(99) + "1",
    ] {
        if let Ok(program) = Program::compile(&program) {
            let (send, receive) = mpsc::channel();
            program.run("1".to_owned(), Duration::from_secs(3), move |result| {
                send.send(result.is_ok()).unwrap()
            });
            receive.recv_timeout(Duration::from_secs(60)).unwrap();
        }
    }
}

const WORDS: &[&str] = &[
    ".",
    "..",
    ".a",
    ".[]",
    ".[0]",
    ".[1:]",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "|",
    ",",
    ":",
    ";",
    "?",
    "//",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "<",
    "and",
    "not",
    "def f:",
    "def f(g):",
    "def f($x):",
    "f",
    "f(.)",
    "f(g)",
    "g",
    "reduce",
    "foreach",
    "as $x",
    "as [$x]",
    "$x",
    "if",
    "then",
    "else",
    "end",
    "try",
    "catch",
    "label $l |",
    "break $l",
    "\"a\\(",
    ")\"",
    "range(9)",
    "range(infinite)",
    "repeat(.)",
    "limit(3;",
    "first(",
    "1",
    "1e999",
    "\"s\"",
    "=",
    "|=",
    "+=",
    "@json",
    "@base64 \"\\(.)\"",
    "select(.)",
    "tojson",
    "fromjson",
    "test(\"a+\")",
    "gsub(\"a\"; \"b\")",
    "sort",
    "group_by(.)",
    "path(..)",
    "getpath([0])",
    "del(.a)",
    "to_entries",
    "walk(.)",
    "splits(\"\")",
    "ltrimstr(1)",
    "implode",
    "todate",
    "error",
    "null",
    "empty",
    "input",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn whatever_looks_like_a_program_is_refused_or_ends(words in prop::collection::vec(prop::sample::select(WORDS), 1..20)) {
        let text = words.join(" ");
        match Program::compile(&text) {
            Ok(_) => {
                let result = run_within(&text, r#"{"a":[1,"s",null,{"a":2.50}]}"#, Duration::from_millis(200));
                if let Ok(json) = result {
                    prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&json).is_ok(), "{} gave {}", text, json);
                }
            }
            Err(error) => prop_assert!(error.line == 1 && error.column <= text.chars().count() + 1, "{error}"),
        }
    }
}
