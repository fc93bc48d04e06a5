//! Messages of other MCP servers, alone and in batches: what is read is JSON of its own, and no batch is larger than allowed.
//!
//! The first byte says whether the revision has batches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use toolmesh_data_plane::execute::upstream::envelope::{Message, Outcome, read, read_all};

/// Most messages of one batch.
const BATCH: usize = 64;

fn is_json(text: &RawValue) {
    assert!(serde_json::from_str::<&RawValue>(text.get()).is_ok(), "no JSON: {:?}", text.get());
}

fn check(message: &Message) {
    match message {
        Message::Answer { id, outcome } => {
            is_json(id);
            if let Outcome::Result(result) = outcome {
                is_json(result);
            }
        }
        Message::Request { id, params, .. } => {
            is_json(id);
            params.as_deref().into_iter().for_each(is_json);
        }
        Message::Notification { params, .. } => params.as_deref().into_iter().for_each(is_json),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((how, bytes)) = data.split_first() else { return };
    if let Ok(message) = read(bytes) {
        check(&message);
    }
    if let Ok(messages) = read_all(bytes, how % 2 == 1) {
        assert!(messages.len() <= BATCH, "a batch of {}", messages.len());
        assert!(how % 2 == 1 || messages.len() == 1, "a batch where there is none");
        messages.iter().for_each(check);
    }
});
