//! Answers that come item by item, as server-sent events or one JSON text per line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use toolmesh_data_plane::execute::rest::stream;

fuzz_target!(|text: &str| {
    // Numbers of any size are passed on as they are.
    for events in [true, false] {
        let items = stream::items(text, events, 3);
        assert!(serde_json::from_str::<Vec<&RawValue>>(&items).is_ok(), "no list: {items:?}");
        let _ = stream::is_enough(text.as_bytes(), 3);
    }
});
