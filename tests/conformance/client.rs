//! The suite's scenarios for clients, against the client with which a node asks other MCP servers.
//!
//! The suite starts a program of ours for each scenario and plays the server. The program is this test binary again, told to run
//! the one test below that is otherwise ignored; what it does with the server is what a node does with one behind it.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use toolmesh_data_plane::call::line::{Answered, Client, Event, Line};
use toolmesh_data_plane::catalog::{Connector, Installation, Tenant};
use toolmesh_data_plane::config::Limits;
use toolmesh_data_plane::execute::credentials::Placement;
use toolmesh_data_plane::execute::outbound::Outbound;
use toolmesh_data_plane::execute::upstream::{Answer, Question, Round, Upstreams};
use toolmesh_data_plane::sync::reports::Reporter;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::egress::EgressPolicy;
use toolmesh_proto::ids::{InstallationId, TenantId, UserId};
use toolmesh_proto::mcp_headers::param_headers;
use toolmesh_proto::v1;
use toolmesh_tests::TestResult;

use crate::suite::Suite;

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";
/// As many rounds as anybody asks for input in.
pub const ROUNDS: usize = 4;

async fn passes(scenario: &str, revision: &str) -> TestResult {
    let program = std::env::current_exe()?;
    let command = format!("{} --ignored --exact client::asked_by_the_suite", program.display());
    let args = ["--command", &command, "--scenario", scenario, "--spec-version", revision];
    Suite::start("client", &args)?.client_passed(scenario).await
}

macro_rules! scenarios {
    ($($test:ident: $scenario:literal in $revision:expr;)*) => {
        $(#[tokio::test]
        async fn $test() -> TestResult {
            passes($scenario, $revision).await
        })*
    };
}

scenarios! {
    a_session_begins: "initialize" in LEGACY;
    a_tool_of_an_older_server_is_called: "tools_call" in LEGACY;
    a_tool_of_a_stateless_server_is_called: "tools_call" in MODERN;
    a_question_with_defaults_reaches_the_client: "elicitation-sep1034-client-defaults" in LEGACY;
    a_stream_is_taken_up_again_when_the_server_says: "sse-retry" in LEGACY;
    every_request_says_what_it_must: "request-metadata" in MODERN;
    a_servers_state_travels_with_its_own_call: "sep-2322-client-request-state" in MODERN;
    headers_name_the_method_and_what_it_is_about: "http-standard-headers" in MODERN;
    annotated_arguments_are_headers_too: "http-custom-headers" in MODERN;
    a_tool_with_a_bad_annotation_is_left_out: "http-invalid-tool-headers" in MODERN;
    no_reference_of_a_schema_is_fetched: "json-schema-ref-no-deref" in MODERN;
    a_schema_comes_through_whole: "json-schema-2020-12-preservation" in MODERN;
    a_schema_of_an_older_server_comes_through_whole: "json-schema-2020-12-preservation" in LEGACY;
}

#[tokio::test]
#[ignore = "the suite runs it, with the address of the server that it plays"]
async fn asked_by_the_suite() -> TestResult {
    let url = std::env::args().next_back().context("no address")?;
    let revision = std::env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").unwrap_or_else(|_| LEGACY.to_owned());
    let scenario = std::env::var("MCP_CONFORMANCE_SCENARIO").context("no scenario")?;
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_else(|_| "{}".to_owned());
    let node = Node::with_tools(&url, &revision).await?;
    match scenario.as_str() {
        "http-custom-headers" => {
            let context: Value = serde_json::from_str(&context)?;
            for call in context["toolCalls"].as_array().context("no calls")? {
                node.call(call["name"].as_str().unwrap_or_default(), &call["arguments"]).await?;
            }
        }
        "http-standard-headers" => {
            node.ask("tools/call", json!({"name": "my-hyphenated-tool", "arguments": {}})).await?;
            for (list, members, read, key) in [
                ("resources/list", "resources", "resources/read", "uri"),
                ("prompts/list", "prompts", "prompts/get", "name"),
            ] {
                let listed = node.ask(list, json!({})).await?;
                for one in listed[members].as_array().into_iter().flatten() {
                    node.ask(read, json!({key: one[key]})).await?;
                }
            }
        }
        "json-schema-2020-12-preservation" => {
            let focal = node.tools.iter().find(|tool| tool["name"] == "json_schema_2020_12_tool");
            let schema = &focal.context("no such tool")?["inputSchema"];
            node.call("json_schema_echo", &json!({"schema": schema})).await?;
        }
        // The server offers a tool and carries out none.
        "json-schema-ref-no-deref" => {}
        "tools_call" => node.call("add_numbers", &json!({"a": 5, "b": 3})).await?,
        _ => {
            for tool in &node.tools {
                let name = tool["name"].as_str().context("a tool without a name")?;
                node.call(name, &example(&tool["inputSchema"])).await?;
            }
        }
    }
    Ok(())
}

/// Arguments that fit a simple schema.
pub fn example(schema: &Value) -> Value {
    let text = |name: &Value| Some((name.as_str()?.to_owned(), "us-west1".into()));
    let required = schema["required"].as_array().into_iter().flatten();
    required.filter_map(text).collect::<Map<String, Value>>().into()
}

/// A node in front of one server.
struct Node {
    upstreams: Upstreams,
    installation: Arc<Installation>,
    subject: Subject,
    tools: Vec<Value>,
}

impl Node {
    async fn with_tools(url: &str, revision: &str) -> Result<Self> {
        let outbound = Outbound::new(EgressPolicy { allow_private: true }, &Limits::default())?;
        let mut node = Self {
            upstreams: Upstreams::new(outbound, Reporter::default()),
            installation: installed(url, revision, &[])?,
            subject: Subject::User(UserId::new()),
            tools: Vec::new(),
        };
        let listed = node.ask("tools/list", json!({})).await?;
        let all = listed["tools"].as_array().context("no list of tools")?;
        node.tools = all.iter().filter(|tool| param_headers(&tool["inputSchema"]).is_ok()).cloned().collect();
        node.installation = installed(url, revision, &node.tools)?;
        Ok(node)
    }

    async fn call(&self, name: &str, arguments: &Value) -> TestResult {
        self.ask("tools/call", json!({"name": name, "arguments": arguments})).await.map(drop)
    }

    /// Asks, answering whatever the server asks for in between.
    async fn ask(&self, method: &'static str, params: Value) -> Result<Value> {
        let params = params.as_object().context("params are an object")?.clone();
        let mut question = Question { method, params, round: None };
        for _ in 0..ROUNDS {
            let client = Client {
                capabilities: Map::from_iter(
                    ["elicitation", "sampling", "roots"].map(|name| (name.to_owned(), json!({}))),
                ),
                ..Client::default()
            };
            let (line, mut heard) = Line::new(client, CancellationToken::new());
            let person = tokio::spawn(async move {
                while let Some(event) = heard.recv().await {
                    if let Event::Ask(ask) = event {
                        let params = serde_json::from_str(ask.params.get()).unwrap_or_default();
                        let answer = to_raw_value(&accepted(&params));
                        let _ = answer.map(|answer| ask.answer.send(Answered::Result(answer)));
                    }
                }
            });
            let placement = Placement::default();
            let asked =
                self.upstreams.ask(&self.installation, self.subject, &placement, question.clone(), &line);
            let asked = asked.await;
            drop(line);
            person.await?;
            match asked.result {
                Ok(Answer::Result(result)) => return Ok(serde_json::from_str(result.get())?),
                Ok(Answer::InputRequired { requests, state }) => {
                    let responses = requests.iter().map(|(key, request)| {
                        let request: Value = serde_json::from_str(request.get())?;
                        Ok::<_, anyhow::Error>((key.to_owned(), accepted(&request["params"])))
                    });
                    let responses = responses.collect::<Result<_>>()?;
                    question.round = Some(Round { responses, state });
                }
                Err(failure) => bail!("{method}: {failure:?}"),
            }
        }
        bail!("{method}: the server asks for input without end")
    }
}

/// A person who takes every default.
pub fn accepted(params: &Value) -> Value {
    let properties = params["requestedSchema"]["properties"].as_object().into_iter().flatten();
    let defaults =
        properties.filter_map(|(name, property)| Some((name.clone(), property.get("default")?.clone())));
    json!({"action": "accept", "content": defaults.collect::<Map<_, _>>()})
}

/// As the control plane would push it.
fn installed(url: &str, revision: &str, tools: &[Value]) -> Result<Arc<Installation>> {
    let tool = |definition: &Value| v1::Tool {
        name: definition["name"].as_str().unwrap_or_default().to_owned(),
        input_schema_json: r#"{"type":"object"}"#.to_owned(),
        call: Some(v1::tool::Call::Upstream(v1::UpstreamCall { definition_json: definition.to_string() })),
        ..v1::Tool::default()
    };
    let definition = v1::Connector {
        name: "suite".to_owned(),
        tools: tools.iter().map(tool).collect(),
        server: Some(v1::McpServer {
            transport: v1::mcp_server::Transport::StreamableHttp.into(),
            revision: revision.to_owned(),
            capabilities_json: "{}".to_owned(),
            ..v1::McpServer::default()
        }),
        ..v1::Connector::default()
    };
    let bundle = v1::TenantBundle {
        tenant_id: TenantId::new().to_string(),
        revision: 1,
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        origin: "http://acme.localhost:8080".to_owned(),
        oauth_base: "http://localhost:8080/oauth/acme".to_owned(),
        installations: vec![v1::Installation {
            id: InstallationId::new().to_string(),
            name: "suite".to_owned(),
            connector_hash: toolmesh_proto::connector_hash(&definition),
            base_url: url.to_owned(),
            ..v1::Installation::default()
        }],
        ..v1::TenantBundle::default()
    };
    let connector = Arc::new(Connector::compile(&definition)?);
    let tenant = Tenant::compile(&bundle, &|_| Some(Ok(Arc::clone(&connector))))?;
    ensure!(tenant.faults.is_empty(), "{:?}", tenant.faults);
    tenant.installations.first().cloned().context("nothing is installed")
}
