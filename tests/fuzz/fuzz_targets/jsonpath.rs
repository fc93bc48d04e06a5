//! JSONPaths over JSON texts: what is found stands in the text, and what is masked is JSON still.
//!
//! The text is a path, a zero byte, and the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolmesh_data_plane::execute::rest::jsonpath::ResultPath;

fuzz_target!(|text: &str| {
    let (path, input) = text.split_once('\0').unwrap_or((text, r#"{"a":[1,"x",null,{"b-c":2.5}]}"#));
    if serde_json::from_str::<serde_json::Value>(input).is_err() {
        return;
    }
    let Ok(Some(path)) = ResultPath::parse(path) else { return };
    if let Some(found) = path.find_text(input) {
        assert!(serde_json::from_str::<serde_json::Value>(&found).is_ok(), "no JSON: {found:?}");
    }
    let masked = path.mask(input);
    assert!(serde_json::from_str::<serde_json::Value>(&masked).is_ok(), "no JSON: {masked:?}");
});
