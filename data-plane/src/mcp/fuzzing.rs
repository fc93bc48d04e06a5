//! A door to the envelope for fuzzing: the only way in from outside that leads past the door of the house.

use serde_json::value::RawValue;

use super::envelope::{self, Incoming};

/// Reads a body as an endpoint does.
///
/// # Panics
/// When what is read contradicts itself.
pub fn envelope(body: &[u8]) {
    match envelope::parse(body) {
        Err(fault) => assert!(fault.code() < 0, "no code of JSON-RPC"),
        Ok(Incoming::Single(message)) => echoes(&message),
        Ok(Incoming::Batch(messages)) => messages.iter().for_each(echoes),
    }
}

/// An id that is answered with is a JSON text of its own.
fn echoes(message: &envelope::Message) {
    if let Some(id) = message.id() {
        let echoed = id.0.get();
        assert!(serde_json::from_str::<&RawValue>(echoed).is_ok(), "no JSON: {echoed:?}");
    }
}
