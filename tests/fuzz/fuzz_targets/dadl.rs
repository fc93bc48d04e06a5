//! DADL text: whatever it is, it compiles or is refused with a place, and what compiles is one connector, always the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolmesh_control_plane::connectors::dadl;
use toolmesh_proto::connector_hash;

fuzz_target!(|source: &str| {
    match dadl::compile(source, "fuzz.dadl") {
        Ok(compiled) => {
            let again = dadl::compile(source, "fuzz.dadl").map(|again| connector_hash(&again.connector));
            assert_eq!(
                again.ok(),
                Some(connector_hash(&compiled.connector)),
                "the same text is another connector"
            );
        }
        Err(errors) => assert!(!errors.to_string().is_empty(), "refused without a word"),
    }
});
