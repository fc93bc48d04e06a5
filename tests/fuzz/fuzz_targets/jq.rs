//! jq programs over JSON texts: they compile or not, and end in their time, with JSON or with an error.
//!
//! The text is a program, a zero byte, and the input.
#![no_main]

use std::sync::mpsc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use toolmesh_proto::jq::Program;

/// Short, because many programs that are made up never end.
const WITHIN: Duration = Duration::from_millis(200);
/// By then every program has ended, on a busy machine too.
const AT_LAST: Duration = Duration::from_secs(8);

fuzz_target!(|text: &str| {
    let (source, input) = text.split_once('\0').unwrap_or((text, r#"{"a":[1,"x",null,{"b":2.5}]}"#));
    if serde_json::from_str::<serde_json::Value>(input).is_err() {
        return;
    }
    let Ok(program) = Program::compile(source) else { return };
    let (send, receive) = mpsc::channel();
    program.run(input.to_owned(), WITHIN, move |result| {
        let _ = send.send(result);
    });
    let result = receive.recv_timeout(AT_LAST).expect("a program ends in its time");
    if let Ok(json) = result {
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "no JSON: {json:?}");
    }
});
