//! How long a large OpenAPI document takes to become a connector: GitHub's, with 13 MB and more than 1,000 operations, read,
//! written as DADL, and compiled.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use toolmesh_tests::paths;

use crate::Import;

const DOCUMENT: &str = "@octokit/openapi/generated/api.github.com.json";

pub fn run(options: &Import) -> Result<()> {
    let document = paths::openapi_module(DOCUMENT)?;
    let folder = paths::scratch("toolmesh-import-")?;
    let dadl = folder.path().join("github.dadl");
    let (mut import, mut lint) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let (took, text) = timed(&["connector", "import", &document.display().to_string()])?;
        import.push(took);
        std::fs::write(&dadl, text)?;
        lint.push(timed(&["connector", "lint", &dadl.display().to_string()])?.0);
    }
    let (import, lint) = (median(import), median(lint));
    let bytes = std::fs::metadata(&document)?.len();
    if options.json {
        let row = json!({"bytes": bytes, "import_ms": import.as_millis(), "compile_ms": lint.as_millis()});
        println!("{row}");
    } else {
        println!("{:.1} MB: read and written in {import:.2?}, compiled in {lint:.2?}", bytes as f64 / 1e6);
    }
    Ok(())
}

fn timed(args: &[&str]) -> Result<(Duration, Vec<u8>)> {
    let start = Instant::now();
    let ran = Command::new(paths::binary("toolmesh")?).args(args).output()?;
    let took = start.elapsed();
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Ok((took, ran.stdout))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
