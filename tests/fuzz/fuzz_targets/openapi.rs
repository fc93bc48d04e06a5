//! OpenAPI and Swagger documents, JSON and YAML: whatever is in them, they are refused with a sentence or become text that is a
//! DADL document.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use toolmesh_control_plane::connectors::dadl;
use toolmesh_control_plane::connectors::openapi::Document;

fuzz_target!(|source: &str| {
    let Ok(document) = Document::read(source, None) else { return };
    let Ok(outline) = document.outline() else { return };
    let picked: HashMap<String, String> = outline
        .operations
        .iter()
        .map(|operation| (operation.key.clone(), operation.access.clone()))
        .collect();
    if let Ok(generated) = document.generate("fuzz", &picked)
        && let Err(errors) = dadl::compile(&generated.dadl, "generated.dadl")
    {
        panic!("what was written cannot be read:\n{errors}\n{}", generated.dadl);
    }
});
