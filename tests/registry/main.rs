//! Connectors written by others: every file of a registry compiles whole, and every tool's request is what the file says.
//!
//! The request is built by the product's own code, both planes' one after the other. What it must be is worked out here, from
//! the file, by another YAML reader and without any of that code. `TOOLMESH_DADL_REGISTRY` names the folder; without it, the
//! project's own catalog is read.

mod arguments;
mod damage;
mod document;
mod expected;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use secrecy::SecretString;
use serde_json::{Map, Value};
use toolmesh_control_plane::connectors::dadl;
use toolmesh_data_plane::catalog::{Call, Connector, Tool};
use toolmesh_data_plane::execute::arguments as fitting;
use toolmesh_data_plane::execute::credentials::Opened;
use toolmesh_data_plane::execute::outbound::OutboundRequest;
use toolmesh_data_plane::execute::rest::request;
use toolmesh_proto::seal::{CredentialPlace, Sealer};
use toolmesh_tests::{TestResult, paths};
use url::Url;

use crate::arguments::Choice;
use crate::document::{Document, Operation};
use crate::expected::Expected;

const TENANT: &str = "01890000-0000-7000-8000-000000000001";
const INSTALLATION: &str = "01890000-0000-7000-8000-000000000002";
const BASE: &str = "https://api.example.com/base/v1";

/// Name and text of every file.
fn files() -> Result<Vec<(String, String)>> {
    let folder = match std::env::var_os("TOOLMESH_DADL_REGISTRY") {
        Some(folder) => PathBuf::from(folder),
        None => paths::root().join("control-plane/catalog"),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "dadl") {
            let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
            files.push((name, std::fs::read_to_string(&path)?));
        }
    }
    ensure!(!files.is_empty(), "{} holds no .dadl file", folder.display());
    // What no file of a registry uses: the keys beyond the language.
    files.push(("extensions.dadl".to_owned(), std::fs::read_to_string(paths::fixture("extensions.dadl"))?));
    files.sort();
    Ok(files)
}

/// A file as the product reads it.
struct Product {
    compiled: dadl::Compiled,
    connector: Connector,
    opened: Opened,
}

impl Product {
    fn compile(origin: &str, source: &str) -> Result<Self> {
        let compiled = dadl::compile(source, origin).map_err(|errors| anyhow::anyhow!("{errors}"))?;
        let connector = Connector::compile(&compiled.connector)
            .with_context(|| format!("{origin}: the node refuses what the control plane compiled"))?;
        let opened = credentials(&compiled, &connector)?;
        Ok(Self { compiled, connector, opened })
    }

    fn tool(&self, name: &str) -> Option<&Tool> {
        self.connector.tool(name).map(AsRef::as_ref)
    }

    fn request(&self, tool: &Tool, arguments: &Map<String, Value>) -> Result<OutboundRequest> {
        let placement = self.opened.place(&self.connector.auth)?;
        let (base, headers) = (Url::parse(BASE)?, &self.connector.default_headers);
        let Call::Rest(plan) = &tool.call else { bail!("{} makes no request of its own", tool.name) };
        Ok(request::build(plan, &base, headers, arguments, &placement)?)
    }
}

/// A secret for each credential that the file names, sealed as the control plane does.
fn credentials(compiled: &dadl::Compiled, connector: &Connector) -> Result<Opened> {
    let sealer = Sealer::new(&SecretString::from("join"))?;
    let (tenant, installation) = (TENANT.parse()?, INSTALLATION.parse()?);
    let mut sealed = Vec::new();
    for credential in &compiled.setup.credentials {
        let place = CredentialPlace { tenant, installation, name: &credential.name };
        let secret = SecretString::from(expected::secret(&credential.name));
        sealed.push(sealer.seal(place, 1, &secret)?);
    }
    Ok(Opened::open(&sealer, tenant, installation, &sealed, &connector.auth))
}

#[test]
fn every_tools_request_is_what_the_file_says() -> TestResult {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (origin, source) in files()? {
        let product = Product::compile(&origin, &source)?;
        let document = Document::read(&source)?;
        for operation in document.operations()? {
            let tool = product
                .tool(&operation.name)
                .with_context(|| format!("{origin}: no tool {}", operation.name))?;
            seen += 1;
            for choice in Choice::ALL {
                if let Err(error) = compare(&product, tool, &document, &operation, choice) {
                    wrong.push(format!("{origin} {} ({choice:?}): {error:#}", operation.name));
                }
            }
        }
    }
    println!("{seen} tools, {} requests are not what they should be", wrong.len());
    ensure!(wrong.is_empty(), "{}", wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n"));
    ensure!(seen > 0, "no tool was seen");
    Ok(())
}

fn compare(
    product: &Product,
    tool: &Tool,
    document: &Document,
    operation: &Operation,
    choice: Choice,
) -> Result<()> {
    let arguments = arguments::generate(document, operation, choice);
    let value = Value::Object(arguments.clone());
    fitting::check(&tool.name, &tool.validator, &tool.call, &value)
        .map_err(|unfit| anyhow::anyhow!("{}", unfit.told))?;
    let request = product.request(tool, &arguments)?;
    Expected::of(document, operation, &arguments)?.compare(&request)
}

#[test]
fn what_a_tool_does_not_know_or_lacks_is_refused_before_anything_leaves() -> TestResult {
    for (origin, source) in files()? {
        let product = Product::compile(&origin, &source)?;
        let document = Document::read(&source)?;
        for operation in document.operations()? {
            let tool = product
                .tool(&operation.name)
                .with_context(|| format!("{origin}: no tool {}", operation.name))?;
            let fits = |arguments: &Map<String, Value>| {
                let value = Value::Object(arguments.clone());
                fitting::check(&tool.name, &tool.validator, &tool.call, &value).is_ok()
            };
            let mut more = arguments::generate(&document, &operation, Choice::Required);
            ensure!(fits(&more), "{origin} {}: what is required is not enough", operation.name);
            more.insert("no_such_argument".to_owned(), Value::Bool(true));
            ensure!(!fits(&more), "{origin} {}: it takes an argument that it does not have", operation.name);
            for param in operation.params.iter().filter(|param| param.is_needed(&document)) {
                let mut fewer = arguments::generate(&document, &operation, Choice::Required);
                fewer.remove(&param.name);
                ensure!(!fits(&fewer), "{origin} {}: {} may be missing", operation.name, param.name);
            }
        }
    }
    Ok(())
}

#[test]
fn arguments_have_names_that_every_client_takes() -> TestResult {
    for (origin, source) in files()? {
        let product = Product::compile(&origin, &source)?;
        for tool in &product.compiled.connector.tools {
            let schema: Value = serde_json::from_str(&tool.input_schema_json)?;
            for name in schema["properties"].as_object().into_iter().flat_map(Map::keys) {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
                ensure!(
                    (1..=64).contains(&name.len()) && name.bytes().all(plain),
                    "{origin} {}: {name:?} is refused by some clients",
                    tool.name
                );
            }
        }
    }
    Ok(())
}

#[test]
fn damaged_files_are_refused_or_work_on_a_node_too() -> TestResult {
    for (origin, source) in files()? {
        for (round, damaged) in damage::rounds(&source) {
            let Ok(compiled) = dadl::compile(&damaged, &origin) else { continue };
            Connector::compile(&compiled.connector).with_context(|| format!("{origin}, round {round}"))?;
        }
    }
    Ok(())
}
