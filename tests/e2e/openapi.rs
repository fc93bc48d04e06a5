//! OpenAPI documents of real products: read, imported in the console, and called through a node against a server written by
//! others that holds every request against the same document.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};
use toolmesh_tests::admin::toolmesh;
use toolmesh_tests::prism::Prism;
use toolmesh_tests::{System, TestResult, eventually, paths};

const GITHUB: &str = "@octokit/openapi/generated/api.github.com.json";
const FIGMA: &str = "@figma/rest-api-spec/openapi/openapi.yaml";
const GALAXY: &str = "@scalar/galaxy/dist/3.1.json";

fn read(file: &str) -> Result<String> {
    Ok(std::fs::read_to_string(paths::openapi_module(file)?)?)
}

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

/// A value that fits a schema, the plainest there is.
fn value(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        if let Some(first) = schema[word].as_array().and_then(|branches| branches.first()) {
            return value(first);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("string");
    match kind {
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => json!(true),
        "array" => json!([value(&schema["items"])]),
        "object" => Value::Object(required(schema)),
        _ => match schema["format"].as_str().unwrap_or_default() {
            "date-time" => json!("2026-01-02T03:04:05Z"),
            "date" => json!("2026-01-02"),
            "uuid" => json!("0190163d-8694-739b-aea5-966c26f8ad91"),
            "uri" => json!("https://example.com/x"),
            "email" => json!("ada@example.com"),
            _ => json!("a".repeat(usize::try_from(schema["minLength"].as_u64().unwrap_or(3)).unwrap_or(3).max(3))),
        },
    }
}

/// The required members of an object.
fn required(schema: &Value) -> Map<String, Value> {
    let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| (name.to_owned(), value(&schema["properties"][name]))).collect()
}

/// Imports everything of a document, enables it against the server and calls its tools with arguments made from their schemas.
/// Answers what went wrong, by tool, and how many were called.
async fn call_all(file: &str, credential: (&str, &str), leave_out: &[&str]) -> Result<(Vec<String>, usize)> {
    let system = System::shared().await?;
    let (prism, workspace) = (Prism::start(&paths::openapi_module(file)?).await?, system.workspace().await?);
    let console = system.console(&workspace.owner).await?;
    let at = |rest: &str| format!("/w/{}{rest}", workspace.slug);
    let page = console.submit(&at("/own/new"), &at("/own/openapi"), &[("document", &read(file)?)]).await?.ok()?;
    let import = page.location().with_context(|| page.text())?.path().to_owned();
    let pick = format!("{import}/pick");
    console.submit(&import, &pick, &[("do", "all")]).await?.ok()?;
    let made = console.submit(&import, &pick, &[("do", "create"), ("name", "real")]).await?.ok()?;
    let enable = format!("{}/enable", made.location().with_context(|| made.text())?.path());
    let fields = [("base_url", prism.url.as_str()), credential];
    let enabled = console.submit(&enable, &enable, &fields).await?.ok()?;
    enabled.location().with_context(|| enabled.text())?;

    let mcp = system.mcp(&workspace, &workspace.key);
    let tools = eventually("the imported tools are offered", Duration::from_secs(20), || async {
        let tools = mcp.tools().await?;
        Ok(tools.iter().any(|tool| tool["name"].as_str().is_some_and(|n| n.starts_with("real_"))).then_some(tools))
    })
    .await?;
    let (mut wrong, mut called) = (Vec::new(), 0);
    for tool in &tools {
        let name = tool["name"].as_str().unwrap_or_default();
        if leave_out.iter().any(|left_out| name.ends_with(left_out)) {
            continue;
        }
        called += 1;
        let arguments = Value::Object(required(&tool["inputSchema"]));
        if let Some(refusal) = mcp.call(name, arguments.clone()).await?.refusal()? {
            wrong.push(format!("{name} {arguments}: {refusal}"));
        }
    }
    Ok((wrong, called))
}

#[tokio::test]
async fn galaxys_operations_are_called_as_its_document_says() -> TestResult {
    let (wrong, called) = call_all(GALAXY, ("credential.access_token", "a-token-of-galaxy"), &["upload_image"]).await?;
    ensure!(wrong.is_empty() && called >= 8, "{called} called; {wrong:#?}");
    Ok(())
}

#[tokio::test]
async fn figmas_operations_are_called_as_its_document_says() -> TestResult {
    let (wrong, called) = call_all(FIGMA, ("credential.api_key", "a-token-of-figma"), &[]).await?;
    ensure!(wrong.is_empty() && called >= 40, "{called} called; {wrong:#?}");
    Ok(())
}
