//! Connectors, compiled once per content hash and shared by all tenants.
//!
//! A connector of which anything is unknown or malformed is refused whole; what refuses it says why.

use std::collections::HashSet;
use std::sync::Arc;

use http::HeaderMap;
use serde_json::Value;
use serde_json::value::RawValue;
use toolmesh_proto::access::Access;
use toolmesh_proto::v1;
use toolmesh_proto::v1::tool::Call as Kind;

use super::composite::{Composite, CompositeError};
use super::search::{Index, Text};
use super::server::Server;
use super::vocabulary::Vocabulary;
use crate::execute::arguments::{self, SchemaError};
use crate::execute::credentials::{Auth, AuthError};
use crate::execute::rest::Plan;
use crate::execute::rest::plan::{Param, PlanError, Programs, default_headers};
use crate::members::Members;

/// Most characters of a description that clients are shown.
const DESCRIPTION_CHARS: usize = 1000;

/// What tools an API offers, ready to be called.
#[derive(Debug)]
pub struct Connector {
    /// Hex SHA-256 of the definition.
    pub hash: String,
    pub title: String,
    pub auth: Auth,
    pub default_headers: HeaderMap,
    pub tools: Vec<Arc<Tool>>,
    /// Over the tools, in their order.
    pub search: Index,
    pub examples: Vec<v1::Example>,
    /// The call that tells whether the API is well.
    pub health: Option<Arc<Tool>>,
    /// Set where it is another MCP server.
    pub server: Option<Server>,
}

/// One tool of a connector.
#[derive(Debug)]
pub struct Tool {
    /// The connector's own name for it.
    pub name: String,
    pub title: String,
    pub description: String,
    pub access: Access,
    /// The schema as it was sent.
    pub schema: Box<RawValue>,
    /// The schema of what it gives, where the connector says so.
    pub returns: Option<Box<RawValue>>,
    /// `None` for a tool of another MCP server, which checks for itself.
    pub validator: Option<jsonschema::Validator>,
    pub call: Call,
    /// Not for clients: for composites and for code.
    pub hidden: bool,
}

/// How a tool is carried out.
#[derive(Debug)]
pub enum Call {
    /// One request to the API.
    Rest(Box<Plan>),
    /// Code of the connector's own, over other tools of it.
    Composite(Composite),
    /// A tool of another MCP server, as that server defines it.
    Upstream(Box<RawValue>),
}

impl Call {
    /// What the tool takes.
    #[must_use]
    pub fn params(&self) -> &[Param] {
        match self {
            Self::Rest(plan) => &plan.params,
            Self::Composite(composite) => &composite.params,
            Self::Upstream(_) => &[],
        }
    }

    /// Whether the caller may send a program over the answer along.
    #[must_use]
    pub const fn takes_program(&self) -> bool {
        match self {
            Self::Rest(plan) => plan.answer.takes_program,
            Self::Composite(_) | Self::Upstream(_) => false,
        }
    }
}

/// Why a connector is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error("authentication: {0}")]
    Auth(#[from] AuthError),
    #[error("default headers: {0}")]
    Headers(PlanError),
    #[error("tool {0:?}: its kind of call is unknown")]
    Kind(String),
    #[error("tool {0:?}: its definition is no JSON")]
    Definition(String),
    #[error("tool {0:?}: {1}")]
    Plan(String, PlanError),
    #[error("tool {0:?}: {1}")]
    Composite(String, CompositeError),
    #[error("tool {0:?}: {1}")]
    Schema(String, SchemaError),
    #[error("tool {0:?}: its input schema is not the schema of an object")]
    NoObject(String),
    #[error("two tools are named {0:?}")]
    Twice(String),
}

impl Connector {
    /// Compiles a definition.
    ///
    /// # Errors
    /// Says which part cannot be executed.
    pub fn compile(definition: &v1::Connector) -> Result<Self, ConnectorError> {
        let mut names = HashSet::new();
        if let Some(twice) = definition.tools.iter().find(|tool| !names.insert(&tool.name)) {
            return Err(ConnectorError::Twice(twice.name.clone()));
        }
        let auth = Auth::compile(definition.auth.as_ref())?;
        let mut programs = Programs::new();
        let simple = definition.tools.iter().filter(|tool| matches!(tool.call, Some(Kind::Rest(_))));
        let simple: HashSet<&str> = simple.map(|tool| tool.name.as_str()).collect();
        let tools = definition
            .tools
            .iter()
            .map(|tool| Tool::compile(tool, &auth, &mut programs, &simple).map(Arc::new));
        let tools: Vec<Arc<Tool>> = tools.collect::<Result<_, _>>()?;
        let health =
            definition.health.as_ref().map(|tool| Tool::compile(tool, &auth, &mut programs, &simple));
        let health = health.transpose()?.map(Arc::new);
        let title = if definition.title.is_empty() { &definition.name } else { &definition.title };
        Ok(Self {
            hash: toolmesh_proto::connector_hash(definition),
            title: title.clone(),
            auth,
            default_headers: default_headers(&definition.default_headers).map_err(ConnectorError::Headers)?,
            search: Index::new(
                title,
                tools.iter().zip(&definition.tools).map(|(tool, sent)| text(tool, sent)),
            ),
            examples: definition.examples.clone(),
            tools,
            health,
            server: definition.server.as_ref().map(Server::compile),
        })
    }

    /// The tool that a connection is tested with.
    #[must_use]
    pub fn probe(&self, name: &str) -> Option<&Arc<Tool>> {
        self.health.as_ref().filter(|health| health.name == name).or_else(|| self.tool(name))
    }

    /// The tool with a name of the connector's own.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Arc<Tool>> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// How a sentence names it: `The GitHub API`.
    #[must_use]
    pub fn spoken(&self) -> String {
        let suffix = if self.title.to_ascii_lowercase().ends_with("api") { "" } else { " API" };
        format!("The {}{suffix}", self.title)
    }
}

impl Tool {
    /// `simple` are the names of the tools that make one call.
    fn compile(
        tool: &v1::Tool,
        auth: &Auth,
        programs: &mut Programs,
        simple: &HashSet<&str>,
    ) -> Result<Self, ConnectorError> {
        let name = || tool.name.clone();
        let call = match &tool.call {
            Some(Kind::Rest(call)) => {
                let plan = Plan::compile_among(call, programs);
                let mut plan = plan.map_err(|error| ConnectorError::Plan(name(), error))?;
                auth.reserve(&mut plan);
                Call::Rest(Box::new(plan))
            }
            Some(Kind::Composite(composite)) => {
                let compiled = Composite::compile(composite, simple);
                Call::Composite(compiled.map_err(|error| ConnectorError::Composite(name(), error))?)
            }
            Some(Kind::Upstream(call)) => {
                let definition = serde_json::from_str(&call.definition_json);
                Call::Upstream(definition.map_err(|_| ConnectorError::Definition(name()))?)
            }
            // A kind that this version does not know.
            None => return Err(ConnectorError::Kind(name())),
        };
        let said = serde_json::from_str(&tool.output_schema_json).ok();
        let (schema, returns, validator) = match &call {
            Call::Upstream(definition) => {
                let [takes, gives] = upstream_schemas(definition);
                (takes.unwrap_or_else(any_object), said.or(gives), None)
            }
            Call::Rest(_) | Call::Composite(_) => {
                let (schema, validator) = own_schema(tool)?;
                (schema, said, Some(validator))
            }
        };
        Ok(Self {
            name: name(),
            title: tool.title.clone(),
            description: cut(&tool.description),
            access: Access::parse(&tool.access),
            schema,
            returns,
            validator,
            call,
            hidden: tool.hidden,
        })
    }
}

fn own_schema(tool: &v1::Tool) -> Result<(Box<RawValue>, jsonschema::Validator), ConnectorError> {
    let no_object = || ConnectorError::NoObject(tool.name.clone());
    let schema: Value = serde_json::from_str(&tool.input_schema_json).map_err(|_| no_object())?;
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(no_object());
    }
    let validator =
        arguments::compile(&schema).map_err(|error| ConnectorError::Schema(tool.name.clone(), error))?;
    Ok((serde_json::value::to_raw_value(&schema).map_err(|_| no_object())?, validator))
}

/// The schemas of what a tool takes and gives, as the server sent them; they are not ours to judge.
fn upstream_schemas(definition: &RawValue) -> [Option<Box<RawValue>>; 2] {
    let tool = Members::read(definition.get()).unwrap_or_default();
    ["inputSchema", "outputSchema"].map(|name| tool.read_as::<Members>(name).map(|schema| schema.write()))
}

fn any_object() -> Box<RawValue> {
    let mut schema = Members::default();
    schema.set_value("type", &"object");
    schema.write()
}

/// What a tool is found by.
fn text<'a>(tool: &'a Tool, sent: &v1::Tool) -> Text<'a> {
    let Vocabulary { names, notes } = Vocabulary::of(tool.schema.get());
    Text {
        name: &tool.name,
        title: &tool.title,
        description: &tool.description,
        params: names,
        notes,
        deprecated: sent.deprecated,
    }
}

fn cut(text: &str) -> String {
    if text.chars().nth(DESCRIPTION_CHARS).is_none() {
        return text.to_owned();
    }
    text.chars().take(DESCRIPTION_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;
    use crate::catalog::search::{Shelf, search};
    use crate::execute::rest::plan::ParamPlace;

    #[test]
    fn a_connector_with_a_tool_of_an_unknown_kind_is_refused_whole() {
        let mut definition = samples::connector();
        definition.tools[1].call = None;
        let error = Connector::compile(&definition).unwrap_err().to_string();
        assert!(error.contains(&definition.tools[1].name), "{error}");
    }

    #[test]
    fn an_auth_block_of_an_unknown_kind_is_refused() {
        let mut definition = samples::connector();
        definition.auth = Some(v1::Auth::default());
        assert!(Connector::compile(&definition).is_err());
    }

    #[test]
    fn an_argument_with_the_name_of_the_query_credential_is_taken_and_not_sent() {
        let mut definition = samples::connector();
        definition.auth = Some(v1::Auth {
            kind: Some(v1::auth::Kind::ApiKey(v1::ApiKeyAuth {
                credential: "token".into(),
                prefix: String::new(),
                place: Some(v1::api_key_auth::Place::Query("state".into())),
            })),
            optional: true,
            also: Vec::new(),
        });
        let connector = Connector::compile(&definition).unwrap();
        let places: Vec<_> = connector.tools[0].call.params().iter().map(|param| &param.place).collect();
        assert_eq!(places, [&ParamPlace::Path, &ParamPlace::Path, &ParamPlace::Nowhere]);
    }

    #[test]
    fn a_tool_of_another_server_is_found_by_its_arguments_and_typed_by_its_schemas() {
        let definition = serde_json::json!({
            "name": "lookup", "description": "Looks things up.",
            "inputSchema": {"type": "object", "properties": {
                "customer_number": {"type": "string", "description": "As printed on the invoice"}
            }},
            "outputSchema": {"type": "object", "properties": {"balance": {"type": "number"}}}
        });
        let upstream = |definition: String| v1::Tool {
            name: "lookup".into(),
            call: Some(Kind::Upstream(v1::UpstreamCall { definition_json: definition })),
            ..v1::Tool::default()
        };
        let tools = vec![upstream(definition.to_string())];
        let connector =
            Connector::compile(&v1::Connector { name: "orders".into(), tools, ..v1::Connector::default() });
        let connector = connector.unwrap();
        let shelf = Shelf { index: &connector.search, name: "orders" };
        for query in ["customer number", "invoice"] {
            assert_eq!(search(&[shelf], query).len(), 1, "{query}");
        }
        assert!(connector.tools[0].returns.as_ref().is_some_and(|schema| schema.get().contains("balance")));
        let bare = Tool::compile(
            &upstream(r#"{"name":"lookup","inputSchema":7}"#.into()),
            &connector.auth,
            &mut Programs::new(),
            &HashSet::new(),
        );
        let bare = bare.unwrap();
        assert_eq!((bare.schema.get(), bare.returns.is_none()), (r#"{"type":"object"}"#, true));
    }

    #[test]
    fn a_schema_that_is_no_object_is_refused() {
        for schema in ["", "[]", "{\"type\":\"string\"}", "{"] {
            let mut definition = samples::connector();
            definition.tools[0].input_schema_json = schema.into();
            assert!(Connector::compile(&definition).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_long_description_is_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(2000)).chars().count(), DESCRIPTION_CHARS);
    }
}
