//! OpenAPI documents of real products, imported and called: Prism stands in for the API, made of the same document, and refuses
//! every request that the document does not allow.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toolmesh_tests::admin::toolmesh;
use toolmesh_tests::examples::example;
use toolmesh_tests::prism::Prism;
use toolmesh_tests::{Mcp, System, TestResult, Workspace, paths};
use yaml_rust2::{Yaml, YamlLoader};

const FIGMA: &str = "@figma/rest-api-spec/openapi/openapi.yaml";
const GALAXY: &str = "@scalar/galaxy/dist/3.1.json";

/// Operations whose answers Prism need not make up: their id, and why.
const ANY_ANSWER: &[(&str, &str)] = &[
    ("getFile", "it is a tree of sixty kinds of nodes, for which Prism's generator takes half a minute"),
    ("getFileNodes", "the same tree"),
    (
        "putDevResources",
        "the document requires a member of it that it does not describe, so that Prism makes up wrong ones",
    ),
];

/// Calls that fail for a reason that is not ours: document, tool, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// A document in a workspace of its own: imported, enabled against Prism, every tool in the list.
struct Imported {
    name: &'static str,
    _prism: Prism,
    mcp: Mcp,
    tools: Vec<Value>,
}

impl Imported {
    async fn new(name: &'static str, file: &str, credentials: &[(&str, &str)]) -> Result<Self> {
        let document = paths::openapi_module(file)?;
        let folder = paths::scratch("toolmesh-prism-document-")?;
        let served = folder.path().join("document.json");
        std::fs::write(&served, for_prism(&document)?)?;
        let prism = Prism::start(&served).await?;
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let connector = import(system, &workspace, &document).await?;
        let console = system.console(&workspace.owner).await?;
        let form = format!("{connector}/enable");
        let mut fields = vec![("name", name), ("base_url", prism.url.as_str())];
        fields.extend_from_slice(credentials);
        let made = console.submit(&form, &form, &fields).await?.ok()?;
        let page = made.location().with_context(|| made.text())?.path().to_owned();
        console.submit(&page, &format!("{page}/exposure"), &[("exposure", "direct")]).await?.ok()?;
        let mcp = system.mcp(&workspace, &workspace.key);
        let first = format!("{name}_");
        let offered =
            toolmesh_tests::eventually("every node offers its tools", Duration::from_secs(20), || async {
                let tools = mcp.tools().await?;
                Ok(tools.iter().find_map(|tool| {
                    tool["name"].as_str().filter(|n| n.starts_with(&first)).map(str::to_owned)
                }))
            })
            .await?;
        system.offered_everywhere(&workspace, &offered).await?;
        let mut tools = mcp.tools().await?;
        tools.retain(|tool| tool["name"].as_str().is_some_and(|tool| tool.starts_with(&first)));
        Ok(Self { name, _prism: prism, mcp, tools })
    }

    /// Calls every tool twice: with what it needs, and with everything that it takes.
    async fn call_all(&self) -> Result<()> {
        let mut wrong = Vec::new();
        let mut unexpected = 0;
        for tool in &self.tools {
            let own = tool["name"].as_str().unwrap_or_default();
            let plain = own.strip_prefix(self.name).unwrap_or(own).trim_start_matches('_');
            let known =
                EXCEPTIONS.iter().find(|(document, tool, _)| *document == self.name && *tool == plain);
            let mut failed = Vec::new();
            for full in [false, true] {
                let arguments = example(&tool["inputSchema"], full);
                let answer = self.mcp.call(own, arguments.clone()).await?;
                if let Some(refusal) = answer.refusal()? {
                    failed.push(format!("{own} {arguments}: {refusal}"));
                }
            }
            match known {
                None if !failed.is_empty() => wrong.extend(failed),
                Some((_, _, why)) if failed.is_empty() => {
                    unexpected += 1;
                    println!("{own} works by now, though: {why}");
                }
                _ => {}
            }
        }
        let list =
            wrong.iter().map(|one| one.chars().take(900).collect::<String>()).collect::<Vec<_>>().join("\n");
        ensure!(wrong.is_empty(), "{} calls of {} tools:\n{list}", wrong.len(), self.tools.len());
        ensure!(unexpected == 0, "the list of exceptions has more than it must");
        Ok(())
    }
}

/// The document, with any object as the answer of the operations that are named above. What may be asked stays as it is.
fn for_prism(document: &Path) -> Result<String> {
    let source = std::fs::read_to_string(document)?;
    let root = YamlLoader::load_from_str(&source)?.into_iter().next().context("an empty document")?;
    let mut root = json_of(&root);
    let paths = root.get_mut("paths").and_then(Value::as_object_mut).context("no paths")?;
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(serde_json::Map::values_mut)
    {
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
        if ANY_ANSWER.iter().any(|(known, _)| *known == id) {
            let any = json!({"description": "Any.", "content": {"application/json": {"schema": {"type": "object"}}}});
            operation["responses"]["200"] = any;
        }
    }
    Ok(root.to_string())
}

fn json_of(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Real(text) => text.parse::<f64>().map_or(Value::Null, Value::from),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::String(text) => Value::from(text.as_str()),
        Yaml::Boolean(truth) => Value::from(*truth),
        Yaml::Array(items) => items.iter().map(json_of).collect(),
        Yaml::Hash(members) => {
            let name = |name: &Yaml| match name {
                Yaml::Integer(number) => number.to_string(),
                other => other.as_str().unwrap_or_default().to_owned(),
            };
            Value::Object(members.iter().map(|(key, value)| (name(key), json_of(value))).collect())
        }
        _ => Value::Null,
    }
}

/// Imports all operations of a document and answers the path of the connector's page.
async fn import(system: &System, workspace: &Workspace, document: &Path) -> Result<String> {
    let ran = toolmesh(&[OsStr::new("connector"), OsStr::new("import"), document.as_os_str()], &[]).await?;
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    let console = system.console(&workspace.owner).await?;
    let editor = format!("/w/{}/own/editor", workspace.slug);
    let page = console.submit(&editor, &editor, &[("source", &ran.stdout), ("do", "save")]).await?.ok()?;
    Ok(page.location().with_context(|| page.text())?.path().to_owned())
}

#[tokio::test]
async fn every_tool_of_a_document_of_all_features_is_called_as_the_document_says() -> TestResult {
    let galaxy =
        Imported::new("galaxy", GALAXY, &[("credential.access_token", "t0ken-of-the-galaxy")]).await?;
    ensure!(galaxy.tools.len() >= 8, "{} tools", galaxy.tools.len());
    galaxy.call_all().await
}

#[tokio::test]
async fn every_tool_of_figmas_document_is_called_as_the_document_says() -> TestResult {
    let figma = Imported::new("figma", FIGMA, &[("credential.api_key", "figd_token-of-the-test")]).await?;
    ensure!(figma.tools.len() >= 50, "{} tools", figma.tools.len());
    figma.call_all().await
}
