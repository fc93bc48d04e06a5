//! Files written by others: the folder that `TOOLMESH_DADL_REGISTRY` names.

use serde_json::Value as Json;

use super::{Compiled, compile};

#[test]
fn every_file_of_a_registry_compiles_with_at_most_some_tools_left_out() {
    let Ok(folder) = std::env::var("TOOLMESH_DADL_REGISTRY") else {
        println!("left out: TOOLMESH_DADL_REGISTRY names no folder");
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "dadl") {
            continue;
        }
        seen += 1;
        let origin = path.file_name().expect("a name").to_string_lossy().into_owned();
        let source = std::fs::read_to_string(&path).expect("the file can be read");
        let compiled = compile(&source, &origin).unwrap_or_else(|errors| panic!("{errors}"));
        let Compiled { connector, left_out, warnings, .. } = &compiled;
        println!(
            "{origin}: {} tools, {} left out, {} warnings",
            connector.tools.len(),
            left_out.len(),
            warnings.len()
        );
        assert!(connector.tools.len() > left_out.len() / 2, "{origin}");
        for tool in &connector.tools {
            let schema: Json = serde_json::from_str(&tool.input_schema_json).expect("a schema");
            assert_eq!(schema["type"], "object", "{origin} {}", tool.name);
            assert!(!tool.description.is_empty(), "{origin} {}", tool.name);
        }
    }
    assert!(seen > 0, "{folder} holds no .dadl file");
}
