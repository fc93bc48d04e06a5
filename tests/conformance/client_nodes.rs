//! The suite's other scenarios for clients once more, with a running system with three nodes as the client: an admin adds the suite's
//! server in the console, and what a client of the workspace asks goes to each node in turn. What the console asks a server itself
//! is judged with it.

use anyhow::{Context as _, Result, bail, ensure};
use http::StatusCode;
use serde_json::{Map, Value, json};
use toolmesh_tests::relay::{Held, Relay, Route};
use toolmesh_tests::schema::MODERN;
use toolmesh_tests::servers::ServerAuth;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Mcp, System, TestResult, Workspace, eventually};

use crate::client::{ROUNDS, accepted, example};
use crate::driven::{Played, driven};
use crate::nodes;
use crate::server::SESSIONS;

/// Of what the server has, as the workspace offers it.
const PREFIX: &str = "suite_";
const LISTS: [(&str, &str, &str, &str); 2] = [
    ("resources/list", "resources", "resources/read", "uri"),
    ("prompts/list", "prompts", "prompts/get", "name"),
];

/// A workspace with the suite's server, and a client whose requests go to each node in turn.
struct Client {
    front: Relay,
    /// In a session, in which it can be asked.
    session: Mcp,
    /// Without one, in the revision that has none.
    stateless: Mcp,
    /// What it is offered.
    tools: Vec<Value>,
    nodes: usize,
}

impl Client {
    async fn with(system: &'static System, workspace: &Workspace, url: &str) -> Result<Self> {
        let console = system.console(&workspace.owner).await?;
        let id = console.find_mcp_server(&workspace.slug, "suite", url, ServerAuth::None).await?;
        let found = console.visit(&format!("/w/{}/servers/{id}", workspace.slug)).await?.ok()?;
        if !found.text().contains("The server offers nothing") {
            let tools = console.begin_mcp_server(&workspace.slug, &id).await?;
            ensure!(tools > 0, "no tool was found: {}", found.text());
            known_everywhere(system, workspace).await?;
        }
        let front = Relay::start(Route {
            targets: system.ready.nodes.iter().map(|node| format!("http://{}", node.http)).collect(),
            host: Some(system.tenant_host(&workspace.slug)),
            token: Some(workspace.key.clone()),
            held: Held::Answers,
        })?;
        let stateless = Mcp::new(system.http.clone(), &format!("{}/mcp", front.url));
        let session = begun(&stateless).await?;
        let tools = session.tools().await?;
        Ok(Self { front, session, stateless, tools, nodes: system.ready.nodes.len() })
    }

    /// Calls a tool over every node.
    async fn call(&self, name: &str, arguments: &Value) -> Result<Value> {
        let mut last = Value::Null;
        for _ in 0..self.nodes {
            last = self.ask("tools/call", json!({"name": name, "arguments": arguments})).await?;
        }
        Ok(last)
    }

    /// Asks in the session, answering on other nodes whatever is asked in between.
    async fn ask(&self, method: &str, params: Value) -> Result<Value> {
        let body = json!({"jsonrpc": "2.0", "id": "call", "method": method, "params": params});
        let mut stream = self.session.open(body.to_string()).await?;
        loop {
            let message = stream.next().await?;
            if message.get("method").is_none() {
                return result(method, &message);
            }
            let Some(id) = message.get("id") else { continue };
            let told = json!({"jsonrpc": "2.0", "id": id, "result": accepted(&message["params"])});
            let taken = self.session.post(told.to_string()).await?;
            ensure!(taken.status == StatusCode::ACCEPTED, "{}: {}", taken.status, taken.body);
        }
    }

    /// Calls a tool without a session: it is called again on the next node with what it asked for.
    async fn call_in_rounds(&self, name: &str, arguments: &Value) -> Result<Value> {
        let can = json!({"elicitation": {}, "sampling": {}, "roots": {}});
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": can,
        });
        let mcp = self.stateless.clone().header("mcp-protocol-version", MODERN);
        let mcp = mcp.header("mcp-method", "tools/call").header("mcp-name", name);
        let mut params = json!({"name": name, "arguments": arguments, "_meta": meta});
        for _ in 0..ROUNDS {
            let answer = mcp.request("tools/call", params.clone()).await?;
            let message = answer.messages().pop().with_context(|| answer.body.clone())?;
            let result = result(name, &message)?;
            if result["resultType"] != "input_required" {
                return Ok(result);
            }
            let asked = result["inputRequests"].as_object().into_iter().flatten();
            let answers = asked.map(|(key, request)| (key.clone(), accepted(&request["params"])));
            params["inputResponses"] = answers.collect::<Map<_, _>>().into();
            if let Some(state) = result.get("requestState") {
                params["requestState"] = state.clone();
            }
        }
        bail!("{name} asks for input without end")
    }
}

/// Waits until every node has what the server offers.
async fn known_everywhere(system: &System, workspace: &Workspace) -> TestResult {
    for node in &system.ready.nodes {
        let mcp = system.mcp_on(&node.http, workspace, &workspace.key);
        eventually(&format!("{} offers the suite's tools", node.name), SOON, || async {
            Ok(mcp.names().await?.iter().any(|name| name.starts_with(PREFIX)).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// A session of a client that can be asked.
async fn begun(mcp: &Mcp) -> Result<Mcp> {
    let can = json!({"elicitation": {}, "sampling": {}, "roots": {}});
    let info = json!({"name": "asked", "version": "1"});
    let params = json!({"protocolVersion": SESSIONS, "capabilities": can, "clientInfo": info});
    let begun = mcp.request("initialize", params).await?;
    let id = begun.header("mcp-session-id");
    ensure!(!id.is_empty(), "a client that can be asked has no session: {}", begun.body);
    let mcp = mcp.clone().header("mcp-session-id", id);
    let noted = mcp.post(r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#).await?;
    ensure!(noted.status == StatusCode::ACCEPTED, "{}: {}", noted.status, noted.body);
    Ok(mcp)
}

/// The result in a message.
fn result(what: &str, message: &Value) -> Result<Value> {
    message.get("result").cloned().with_context(|| format!("{what}: {message}"))
}

async fn on_three_nodes<F>(scenario: &str, revision: &str, act: F) -> TestResult
where
    F: AsyncFnOnce(&Client, Value) -> TestResult,
{
    let system = nodes::system().await?;
    let workspace = system.workspace().await?;
    let played = driven(scenario, revision, async |played: Played| {
        let client = Client::with(system, &workspace, &played.url).await?;
        act(&client, played.context).await?;
        client.front.clean()
    });
    played.await
}

macro_rules! scenarios {
    ($($test:ident: $scenario:literal in $revision:expr, $act:expr;)*) => {
        $(#[tokio::test]
        async fn $test() -> TestResult {
            on_three_nodes($scenario, $revision, $act).await
        })*
    };
}

scenarios! {
    a_session_begins: "initialize" in SESSIONS, calls_nothing;
    a_tool_of_an_older_server_is_called: "tools_call" in SESSIONS, adds;
    a_tool_of_a_stateless_server_is_called: "tools_call" in MODERN, adds;
    a_question_with_defaults_reaches_the_client: "elicitation-sep1034-client-defaults" in SESSIONS, calls_everything;
    a_stream_is_taken_up_again_when_the_server_says: "sse-retry" in SESSIONS, calls_everything_unasked;
    every_request_says_what_it_must: "request-metadata" in MODERN, calls_nothing;
    a_servers_state_travels_with_its_own_call: "sep-2322-client-request-state" in MODERN, calls_everything_in_rounds;
    headers_name_the_method_and_what_it_is_about: "http-standard-headers" in MODERN, asks_for_everything;
    annotated_arguments_are_headers_too: "http-custom-headers" in MODERN, calls_as_told;
    a_tool_with_a_bad_annotation_is_left_out: "http-invalid-tool-headers" in MODERN, calls_everything;
    no_reference_of_a_schema_is_fetched: "json-schema-ref-no-deref" in MODERN, calls_nothing;
    a_schema_comes_through_whole: "json-schema-2020-12-preservation" in MODERN, sends_a_schema_back;
    a_schema_of_an_older_server_comes_through_whole: "json-schema-2020-12-preservation" in SESSIONS, sends_a_schema_back;
}

async fn calls_nothing(_: &Client, _: Value) -> TestResult {
    Ok(())
}

async fn adds(client: &Client, _: Value) -> TestResult {
    let said = client.call("suite_add_numbers", &json!({"a": 5, "b": 3})).await?;
    ensure!(said["content"][0]["text"] == "The sum of 5 and 3 is 8", "{said}");
    Ok(())
}

async fn calls_everything(client: &Client, _: Value) -> TestResult {
    ensure!(!client.tools.is_empty(), "no tools are offered");
    for tool in &client.tools {
        let name = tool["name"].as_str().context("a tool without a name")?;
        client.call(name, &example(&tool["inputSchema"])).await?;
    }
    Ok(())
}

/// As a client that cannot be asked, for which no stream stays open beside the calls.
async fn calls_everything_unasked(client: &Client, _: Value) -> TestResult {
    for tool in &client.tools {
        let name = tool["name"].as_str().context("a tool without a name")?;
        for _ in 0..client.nodes {
            client.stateless.call(name, json!({})).await?.text()?;
        }
    }
    Ok(())
}

async fn calls_everything_in_rounds(client: &Client, _: Value) -> TestResult {
    ensure!(!client.tools.is_empty(), "no tools are offered");
    for tool in &client.tools {
        let name = tool["name"].as_str().context("a tool without a name")?;
        client.call_in_rounds(name, &json!({})).await?;
    }
    Ok(())
}

async fn asks_for_everything(client: &Client, context: Value) -> TestResult {
    calls_everything(client, context).await?;
    for (list, members, read, key) in LISTS {
        let listed = client.ask(list, json!({})).await?;
        let members = listed[members].as_array().filter(|all| !all.is_empty());
        for one in members.with_context(|| format!("nothing in {listed}"))? {
            client.ask(read, json!({key: one[key]})).await?;
        }
    }
    Ok(())
}

async fn calls_as_told(client: &Client, context: Value) -> TestResult {
    for call in context["toolCalls"].as_array().context("no calls")? {
        let name = format!("{PREFIX}{}", call["name"].as_str().unwrap_or_default());
        client.call(&name, &call["arguments"]).await?;
    }
    Ok(())
}

async fn sends_a_schema_back(client: &Client, _: Value) -> TestResult {
    let focal = client.tools.iter().find(|tool| tool["name"] == "suite_json_schema_2020_12_tool");
    let schema = &focal.context("no such tool")?["inputSchema"];
    client.call("suite_json_schema_echo", &json!({"schema": schema})).await?;
    Ok(())
}
