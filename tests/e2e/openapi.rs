//! OpenAPI documents of real products: each becomes a connector that compiles and that a node takes.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use toolmesh_tests::admin::toolmesh;
use toolmesh_tests::{TestResult, paths};

const GITHUB: &str = "@octokit/openapi/generated/api.github.com.json";
const FIGMA: &str = "@figma/rest-api-spec/openapi/openapi.yaml";
const GALAXY: &str = "@scalar/galaxy/dist/3.1.json";

/// How many tools `toolmesh connector lint` counts in a file that it finds no fault with.
async fn tools_of(file: &Path) -> Result<usize> {
    let ran = toolmesh(&[OsStr::new("connector"), OsStr::new("lint"), file.as_os_str()], &[]).await?;
    ensure!(ran.code == Some(0), "{} {}", ran.stdout, ran.stderr);
    let last = ran.stdout.lines().last().unwrap_or_default();
    let count = last.rsplit(' ').nth(1).and_then(|count| count.parse().ok());
    count.with_context(|| format!("no count in {last:?}"))
}

#[tokio::test]
async fn every_operation_of_a_real_document_becomes_a_tool_that_a_node_takes() -> TestResult {
    let folder = paths::scratch("toolmesh-openapi-")?;
    for (file, least) in [(GITHUB, 1_000), (FIGMA, 45), (GALAXY, 8)] {
        let document = paths::openapi_module(file)?;
        let ran =
            toolmesh(&[OsStr::new("connector"), OsStr::new("import"), document.as_os_str()], &[]).await?;
        ensure!(ran.code == Some(0), "{file}: {}", ran.stderr);
        // GitHub's uploads are on another host.
        let notes: Vec<_> = ran.stdout.lines().filter(|line| line.starts_with("# ")).collect();
        ensure!(notes.len() <= 5, "{file}: {notes:?}");
        let dadl = folder.path().join("imported.dadl");
        std::fs::write(&dadl, &ran.stdout)?;
        let tools = tools_of(&dadl).await?;
        ensure!(tools >= least, "{file}: {tools} tools");
    }
    Ok(())
}
