//! `toolmesh connector`: for authors of connectors. Checks a file, and makes one call of it, without a database or a console; and makes
//! a file from an OpenAPI document.
//!
//! The call is compiled by the control plane's code and made by a node's, so that what works here works there. What is printed
//! is built with stars in place of the credentials: a secret cannot be in it.

mod composite;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::Value;
use toolmesh_control_plane::connectors::dadl::{self, Compiled};
use toolmesh_control_plane::connectors::installation::known_credentials;
use toolmesh_control_plane::connectors::openapi::{self, Document};
use toolmesh_data_plane::catalog::{Call, Connector, Installation};
use toolmesh_data_plane::config::Limits;
use toolmesh_data_plane::execute::credentials::Placement;
use toolmesh_data_plane::execute::outbound::{FieldContent, Outbound, OutboundRequest, Payload};
use toolmesh_data_plane::execute::rest::Plan;
use toolmesh_data_plane::execute::rest::plan::CredentialUse;
use toolmesh_data_plane::execute::{Executor, arguments, prepare};
use toolmesh_proto::egress::EgressPolicy;
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::seal::{CredentialPlace, Sealer};
use toolmesh_proto::v1;

/// What stands in the place of a credential.
const STARS: &str = "********";
/// The credential that stands for what a login at a provider would give.
const ACCESS_TOKEN: &str = "access_token";
/// Longest body that is printed, in characters.
const SHOWN: usize = 20_000;

#[derive(Args, Debug)]
pub struct ConnectorArgs {
    #[command(subcommand)]
    pub command: ConnectorCommand,
}

#[derive(Subcommand, Debug)]
pub enum ConnectorCommand {
    /// Check DADL files; the exit code is 1 if one does not compile
    Lint(Lint),
    /// Write a DADL file from an OpenAPI document, with all of its operations
    Import(Import),
    /// Make one call of a tool in a file and print request and answer
    Try(Box<Try>),
}

#[derive(Args, Debug)]
pub struct Lint {
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Import {
    /// OpenAPI 3.0 or 3.1 or Swagger 2.0, as JSON or YAML
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Name of the connector; made from the document's title if not given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

#[derive(Args, Debug)]
pub struct Try {
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Name of the tool, as in the file
    #[arg(value_name = "TOOL")]
    pub tool: String,
    /// Arguments of the call, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub arguments: String,
    /// Where the API is; the file's own base URL if not given
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// A credential by its name in the file; may be given several times
    #[arg(long = "credential", value_name = "NAME=VALUE", value_parser = credential)]
    pub credentials: Vec<(String, SecretString)>,
    /// Print the request and do not send it
    #[arg(long)]
    pub dry_run: bool,
}

fn credential(text: &str) -> Result<(String, SecretString), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), SecretString::from(value.to_owned())))
        }
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

/// What to print, and whether everything was well.
#[derive(Debug)]
pub struct Printed {
    pub text: String,
    pub good: bool,
}

/// Does what the command line says.
///
/// # Errors
/// One sentence that says what was wrong and the way out.
pub async fn run(args: ConnectorArgs) -> anyhow::Result<Printed> {
    match args.command {
        ConnectorCommand::Lint(lint) => lint_files(&lint.files),
        ConnectorCommand::Import(import) => import_file(&import),
        ConnectorCommand::Try(call) => try_call(&call).await,
    }
}

/// The DADL text alone is what is printed, so that it can go into a file; what its reader should know stands at its top.
fn import_file(import: &Import) -> anyhow::Result<Printed> {
    let document = Document::read(&source(&import.file, openapi::MAX_SOURCE)?, None)?;
    let outline = document.outline()?;
    let usable = outline.operations.iter().filter(|operation| operation.problem.is_none());
    let picked = usable.map(|operation| (operation.key.clone(), operation.access.clone())).collect();
    let name = import.name.clone().unwrap_or_else(|| openapi::suggested_name(&outline.title));
    let generated = document.generate(&name, &picked)?;
    let left_out = outline
        .operations
        .iter()
        .filter_map(|operation| Some(format!("{} {}.", operation.key, operation.problem.as_ref()?)));
    let mut text = String::new();
    for note in generated.notes.into_iter().chain(left_out) {
        writeln!(text, "# {}", note.split_whitespace().collect::<Vec<_>>().join(" "))?;
    }
    text.push_str(&generated.dadl);
    Ok(Printed { text, good: true })
}

fn source(file: &Path, most: usize) -> anyhow::Result<String> {
    let size = std::fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?.len();
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    ensure!(size <= most, "{} has {size} bytes; at most {most} are read", file.display());
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read as text", file.display()))
}

fn lint_files(files: &[PathBuf]) -> anyhow::Result<Printed> {
    let mut printed = Printed { text: String::new(), good: true };
    for file in files {
        let origin = file.display().to_string();
        match dadl::compile(&source(file, dadl::MAX_SOURCE)?, &origin) {
            Ok(compiled) => {
                write_findings(&mut printed.text, &origin, &compiled)?;
                // A node has the last word.
                if let Err(error) = Connector::compile(&compiled.connector) {
                    printed.good = false;
                    writeln!(printed.text, "error: {origin}: a node refuses it: {error}")?;
                }
            }
            Err(errors) => {
                printed.good = false;
                for error in &errors.errors {
                    writeln!(printed.text, "error: {error}")?;
                }
                if errors.more > 0 {
                    writeln!(printed.text, "error: {origin}: and {} more", errors.more)?;
                }
            }
        }
    }
    Ok(printed)
}

fn write_findings(text: &mut String, origin: &str, compiled: &Compiled) -> std::fmt::Result {
    for warning in &compiled.warnings {
        writeln!(text, "warning: {warning}")?;
    }
    for left_out in &compiled.left_out {
        writeln!(text, "warning: {origin}: {} {}", left_out.tool, left_out.reason)?;
    }
    writeln!(text, "{origin}: {} tools", compiled.connector.tools.len())
}

async fn try_call(call: &Try) -> anyhow::Result<Printed> {
    let origin = call.file.display().to_string();
    let compiled = dadl::compile(&source(&call.file, dadl::MAX_SOURCE)?, &origin)
        .map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let (definition, by_token) = with_a_token(compiled.connector);
    let known = known_credentials(&definition);
    for (name, _) in &call.credentials {
        let why = if by_token { "; nothing logs in here, so get an access token and give that" } else { "" };
        let used = names(&known);
        ensure!(known.contains(name), "{origin} has no credential {name:?}; it uses {used}{why}");
    }
    let arguments: Value = serde_json::from_str(&call.arguments).context("--arguments is not JSON")?;
    let Value::Object(object) = &arguments else { bail!("--arguments is not a JSON object") };
    let connector = Arc::new(Connector::compile(&definition)?);
    let Some(tool) = connector.tool(&call.tool).cloned() else {
        if let Some(left_out) = compiled.left_out.iter().find(|left_out| left_out.tool == call.tool) {
            bail!("{} {}", left_out.tool, left_out.reason);
        }
        bail!("{origin} has no tool {:?}; `toolmesh connector lint` checks the file", call.tool);
    };
    let plan = match &tool.call {
        Call::Rest(plan) => plan,
        Call::Composite(composite) if !call.dry_run => {
            arguments::check(&tool.name, &tool.validator, &tool.call, &arguments)
                .map_err(|unfit| anyhow::anyhow!(unfit.told))?;
            let bench = Bench::new(&definition, &connector, call)?;
            return composite::run(&bench, call, &tool.name, composite, object).await;
        }
        _ => {
            bail!("{} is a composite: it has no request of its own; try it without --dry-run", tool.name);
        }
    };
    arguments::check(&tool.name, &tool.validator, &tool.call, &arguments)
        .map_err(|unfit| anyhow::anyhow!(unfit.told))?;

    let bench = Bench::new(&definition, &connector, call)?;
    let stars: Vec<_> = known.iter().map(|name| (name.clone(), SecretString::from(STARS))).collect();
    let shown = bench.installation(&stars)?;
    // What the API is shown only after a login or for an access token is not there before the call.
    let placement = match plan.credential {
        CredentialUse::None => Ok(Placement::default()),
        _ => bench.executor.open(&shown).place(&connector.auth),
    };
    let signs_in = placement.is_err();
    let request = prepare(&shown, plan, &placement.unwrap_or_default(), object)
        .map_err(|failure| anyhow::anyhow!(failure.told(&connector.spoken(), "this workspace")))?;
    let mut text = print_request(&request)?;
    if signs_in {
        writeln!(
            text,
            "note: the credential is got first, by a login or for an access token, and is not shown here"
        )?;
    }
    if call.dry_run {
        return Ok(Printed { text, good: true });
    }
    let missing: Vec<&String> = known
        .iter()
        .filter(|_| plan.credential == CredentialUse::Unspecified)
        .filter(|name| !call.credentials.iter().any(|(n, _)| n == *name))
        .collect();
    if let Some(name) = missing.first() {
        writeln!(text, "note: no credential {name} was given; give it with --credential {name}=VALUE")?;
    }
    let good = bench.call(plan, call, object, &connector, &mut text).await?;
    Ok(Printed { text, good })
}

/// A connector whose access tokens the control plane gets, as one that is given the token itself; and whether it was one.
fn with_a_token(mut definition: v1::Connector) -> (v1::Connector, bool) {
    let bearer = match definition.auth.as_ref().and_then(|auth| auth.kind.as_ref()) {
        Some(v1::auth::Kind::Oauth2(oauth2)) => v1::BearerAuth {
            credential: ACCESS_TOKEN.to_owned(),
            header: oauth2.header.clone(),
            prefix: oauth2.prefix.clone(),
        },
        _ => return (definition, false),
    };
    if let Some(auth) = &mut definition.auth {
        auth.kind = Some(v1::auth::Kind::Bearer(bearer));
    }
    (definition, true)
}

fn names(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(" and ") }
}

/// A node's executor and what it needs to know about the one installation.
struct Bench {
    tenant: TenantId,
    id: InstallationId,
    definition: v1::Installation,
    connector: Arc<Connector>,
    executor: Executor,
}

impl Bench {
    fn new(definition: &v1::Connector, connector: &Arc<Connector>, call: &Try) -> anyhow::Result<Self> {
        let base_url = call.base_url.clone().unwrap_or_else(|| definition.base_url.clone());
        ensure!(!base_url.is_empty(), "the file names no base URL; give one with --base-url");
        // Whoever runs this may call what they like from their own machine.
        let policy = EgressPolicy { allow_private: true };
        let base_url = policy.parse(&base_url).map_err(|error| anyhow::anyhow!("the base URL: {error}"))?;
        let secret = SecretString::from(format!("{}{}", TenantId::new(), TenantId::new()));
        let id = InstallationId::new();
        let installation = v1::Installation {
            id: id.to_string(),
            name: definition.name.clone(),
            connector_hash: toolmesh_proto::connector_hash(definition),
            base_url: base_url.to_string(),
            ..Default::default()
        };
        let sealer = Sealer::new(&secret).map_err(|error| anyhow::anyhow!("{error}"))?;
        let executor = Executor::new(Outbound::new(policy, &Limits::default())?, sealer);
        Ok(Self {
            tenant: TenantId::new(),
            id,
            definition: installation,
            connector: Arc::clone(connector),
            executor,
        })
    }

    /// The installation with these credentials.
    fn installation(&self, credentials: &[(String, SecretString)]) -> anyhow::Result<Installation> {
        let mut definition = self.definition.clone();
        for (name, secret) in credentials {
            let place = CredentialPlace { tenant: self.tenant, installation: self.id, name };
            let sealed = self.executor.sealer.seal(place, 0, secret);
            definition.credentials.push(sealed.map_err(|error| anyhow::anyhow!("{error}"))?);
        }
        let connectors: HashMap<String, Arc<Connector>> =
            HashMap::from([(definition.connector_hash.clone(), Arc::clone(&self.connector))]);
        Ok(Installation::compile(self.tenant, &definition, &|hash| connectors.get(hash).cloned().map(Ok))?)
    }

    /// Makes the call; whether it succeeded.
    async fn call(
        &self,
        plan: &Plan,
        call: &Try,
        arguments: &serde_json::Map<String, Value>,
        connector: &Connector,
        text: &mut String,
    ) -> anyhow::Result<bool> {
        let installation = self.installation(&call.credentials)?;
        let opened = self.executor.open(&installation);
        let execution = self.executor.call(&installation, plan, &opened, arguments).await;
        if let Some(status) = execution.trace.status {
            writeln!(text, "< {status}")?;
        }
        match execution.result {
            Ok(content) => {
                writeln!(text, "{}", cut(content.text()))?;
                for note in execution.aside.notes {
                    writeln!(text, "note: {note}")?;
                }
                if let Some(facts) = execution.aside.metadata {
                    writeln!(text, "beside it: {facts}")?;
                }
                Ok(true)
            }
            Err(failure) => {
                writeln!(text, "{}", failure.told(&connector.spoken(), "this workspace"))?;
                Ok(false)
            }
        }
    }
}

/// The request as it would leave, line by line.
fn print_request(request: &OutboundRequest) -> anyhow::Result<String> {
    let mut text = String::new();
    // In a query the stars are written with percent signs.
    let url = request.url.as_str().replace(&"%2A".repeat(STARS.len()), STARS);
    writeln!(text, "> {} {url}", request.method)?;
    for (name, value) in &request.headers {
        let plain = String::from_utf8_lossy(value.as_bytes());
        writeln!(text, "> {name}: {}", if value.is_sensitive() { STARS } else { &*plain })?;
    }
    if let Some(body) = &request.body {
        match body {
            Payload::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(body) => writeln!(text, ">\n{}", cut(body))?,
                Err(_) => writeln!(text, ">\n({} bytes that are not text)", bytes.len())?,
            },
            Payload::File(file) => writeln!(text, ">\n({})", file.described())?,
            Payload::Multipart(form) => {
                writeln!(text, ">")?;
                for field in form.fields() {
                    let value = match &field.content {
                        FieldContent::Text(value) => cut(value),
                        FieldContent::File(file) => format!("({})", file.described()),
                    };
                    writeln!(text, "{}: {value}", field.name)?;
                }
            }
        }
    }
    Ok(text)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
