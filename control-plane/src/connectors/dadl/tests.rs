//! What an author of a document notices.
use super::*;

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
        let started = std::time::Instant::now();
        let compiled = compile(&source, &origin).unwrap_or_else(|errors| panic!("{errors}"));
        println!(
            "{origin}: {} tools, {} left out, {} warnings, probe {} {}, {:?}",
            compiled.connector.tools.len(),
            compiled.left_out.len(),
            compiled.warnings.len(),
            compiled.connector.probe_tool,
            compiled.connector.probe_arguments_json,
            started.elapsed()
        );
        let mut reasons = std::collections::BTreeMap::new();
        for left in &compiled.left_out { *reasons.entry(left.reason.clone()).or_insert(0) += 1; }
        println!("   {reasons:?}");
        for w in compiled.warnings.iter().take(4) { println!("   {w}"); }
        assert!(!compiled.connector.tools.is_empty(), "{origin}");
    }
    assert!(seen > 0, "{folder} holds no .dadl file");
}
