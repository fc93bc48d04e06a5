//! Answers that come item by item, as server-sent events or one JSON text per line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolmesh_data_plane::execute::rest::stream;

fuzz_target!(|text: &str| {
    for events in [true, false] {
        let items = stream::items(text, events, 3);
        assert!(serde_json::from_str::<Vec<serde_json::Value>>(&items).is_ok(), "no list: {items:?}");
        let _ = stream::is_enough(text.as_bytes(), 3);
    }
});
