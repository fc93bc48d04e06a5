//! How long a large OpenAPI document takes to become a connector, read, written as DADL, and compiled: one of 10 MB with 1,000
//! operations that is made here, and GitHub's own.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};
use toolmesh_tests::paths;

use crate::Import;

const GITHUB: &str = "@octokit/openapi/generated/api.github.com.json";
const OPERATIONS: usize = 1_000;
const BYTES: usize = 10_000_000;

pub fn run(options: &Import) -> Result<()> {
    let folder = paths::scratch("toolmesh-import-")?;
    let made = folder.path().join("made.json");
    std::fs::write(&made, document())?;
    measure("made", &made, options)?;
    measure("GitHub", &paths::openapi_module(GITHUB)?, options)
}

fn measure(name: &str, document: &Path, options: &Import) -> Result<()> {
    let folder = paths::scratch("toolmesh-import-")?;
    let dadl = folder.path().join("imported.dadl");
    let (mut import, mut lint) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let (took, text) = timed(&["connector", "import", &document.display().to_string()])?;
        import.push(took);
        std::fs::write(&dadl, text)?;
        lint.push(timed(&["connector", "lint", &dadl.display().to_string()])?);
    }
    let last = lint.last().map(|(_, said)| String::from_utf8_lossy(said).into_owned()).unwrap_or_default();
    let tools =
        last.lines().last().and_then(|line| line.rsplit(' ').nth(1)?.parse::<usize>().ok()).unwrap_or(0);
    let (import, lint) = (median(import), median(lint.into_iter().map(|(took, _)| took).collect()));
    let bytes = std::fs::metadata(document)?.len();
    if options.json {
        let (import_ms, compile_ms) = (import.as_millis(), lint.as_millis());
        let row = json!({
            "document": name, "bytes": bytes, "tools": tools, "import_ms": import_ms, "compile_ms": compile_ms,
            "together_ms": import_ms + compile_ms,
        });
        println!("{row}");
    } else {
        println!(
            "{name}: {:.1} MB, {tools} tools: read and written in {import:.2?}, compiled in {lint:.2?}, {:.2?} together",
            bytes as f64 / 1e6,
            import + lint
        );
    }
    Ok(())
}

/// A document as generators write them: schemas that refer to each other, long descriptions, answers written out.
fn document() -> String {
    const SCHEMAS: usize = 400;
    let property = |schema: usize, number: usize| match number {
        0 => json!({"$ref": format!("#/components/schemas/Thing{}", (schema * 7 + 1) % SCHEMAS)}),
        1 => {
            json!({"type": "array", "items": {"$ref": format!("#/components/schemas/Thing{}", (schema + 13) % SCHEMAS)}})
        }
        2 => json!({"type": "string", "enum": ["open", "closed", "all"], "description": "Which of them."}),
        _ => {
            json!({"type": "string", "maxLength": 200, "description": format!("Field {number} of thing {schema}.")})
        }
    };
    let schema = |schema: usize| {
        let properties: Map<String, Value> =
            (0..12).map(|number| (format!("field_{number}"), property(schema, number))).collect();
        (
            format!("Thing{schema}"),
            json!({"type": "object", "required": ["field_3"], "properties": properties}),
        )
    };
    let schemas: Map<String, Value> = (0..SCHEMAS).map(schema).collect();
    let parameter = |number: usize| {
        json!({"name": format!("filter[{number}]"), "in": "query", "description": "Only those that have it.",
               "schema": {"type": "string"}})
    };
    let mut paths = Map::new();
    // What is left of the bytes is in the answers' examples, where most documents have the most.
    let filler = "An example of an answer, as long as such examples are. "
        .repeat((BYTES - 1_700_000) / OPERATIONS / 55);
    for number in 0..OPERATIONS / 2 {
        let reference = json!({"$ref": format!("#/components/schemas/Thing{}", number % SCHEMAS)});
        let answers = json!({"200": {"description": "Done.", "content": {"application/json": {
            "schema": reference, "example": {"text": filler}}}}});
        let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}});
        paths.insert(
            format!("/things{number}/{{id}}"),
            json!({
                "get": {"operationId": format!("getThing{number}"), "summary": format!("One of things {number}"),
                    "tags": ["things"], "parameters": [id, parameter(1), parameter(2), parameter(3)], "responses": answers},
                "put": {"operationId": format!("replaceThing{number}"), "summary": format!("Replaces thing {number}"),
                    "tags": ["things"], "parameters": [id], "responses": answers,
                    "requestBody": {"required": true, "content": {"application/json": {"schema": reference}}}},
            }),
        );
    }
    json!({
        "openapi": "3.1.0", "info": {"title": "Things", "version": "1.0"}, "servers": [{"url": "https://things.example.com"}],
        "paths": paths, "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    })
    .to_string()
}

fn timed(args: &[&str]) -> Result<(Duration, Vec<u8>)> {
    let start = Instant::now();
    let ran = Command::new(paths::binary("toolmesh")?).args(args).output()?;
    let took = start.elapsed();
    ensure!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stderr),
        String::from_utf8_lossy(&ran.stdout)
    );
    Ok((took, ran.stdout))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
