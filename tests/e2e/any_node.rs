//! Questions to the client in the middle of a call, in every pairing of eras, while each request goes to another node than the
//! one before.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::everything::{Eras, Sdk};
use toolmesh_tests::everywhere::Everywhere;
use toolmesh_tests::mcp::Stream;
use toolmesh_tests::node::Node;
use toolmesh_tests::relay::{Held, Relay};
use toolmesh_tests::schema::MODERN;
use toolmesh_tests::{Mcp, System, TestResult};

const SESSIONS: &str = "2025-11-25";
/// What a client answers when it is asked so.
fn answer(method: &str) -> Value {
    match method {
        "elicitation/create" => {
            json!({"action": "accept", "content": {"username": "ada", "email": "ada@example.org", "name": "Ada", "color": "blue", "ok": true}})
        }
        "sampling/createMessage" => {
            json!({"role": "assistant", "model": "a-model", "content": {"type": "text", "text": "Paris"}})
        }
        _ => json!({"roots": [{"uri": "file:///notes/ada", "name": "home"}]}),
    }
}

/// Three nodes in turn, in front of a server of these eras.
struct Scene {
    everywhere: Everywhere,
    front: Relay,
    _third: Node,
}

impl Scene {
    async fn new(sdk: Sdk, eras: Eras) -> Result<Self> {
        let system = System::shared().await?;
        let third = Node::start(system, &system.ready.control_plane.grpc).await?;
        let everywhere = Everywhere::new(system, sdk, eras, &[&third.http]).await?;
        let front = everywhere.front(3, Held::Everything)?;
        Ok(Self { everywhere, front, _third: third })
    }

    /// Holds both sides to the schemas: what was said here, and what was said to the server.
    fn clean(&self) -> TestResult {
        self.front.clean()?;
        self.everywhere.upstream.clean()
    }

    /// A client with a session in the older era.
    async fn session(&self) -> Result<Mcp> {
        let mcp = self.everywhere.client(&self.front);
        let info = json!({"name": "asked", "version": "1"});
        let can = json!({"elicitation": {}, "sampling": {}, "roots": {}});
        let params = json!({"protocolVersion": SESSIONS, "capabilities": can, "clientInfo": info});
        let begun = mcp.request("initialize", params).await?;
        let id = begun.header("mcp-session-id").to_owned();
        ensure!(!id.is_empty(), "a client that can be asked has no session: {}", begun.body);
        let mcp = mcp.header("mcp-session-id", &id);
        let noted = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        ensure!(mcp.post(noted.to_string()).await?.status == StatusCode::ACCEPTED);
        Ok(mcp)
    }
}

/// Calls a tool in the older era and answers what it asks. Gives the last word and what was asked.
async fn asked_on_the_stream(mcp: &Mcp, tool: &str, arguments: Value) -> Result<(String, Vec<String>)> {
    let params = json!({"name": tool, "arguments": arguments});
    let body = json!({"jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": params});
    let mut stream = mcp.open(body.to_string()).await?;
    let mut asked = Vec::new();
    loop {
        let message = stream.next().await?;
        let Some(method) = message.get("method").and_then(Value::as_str) else {
            let text = message.pointer("/result/content/0/text").and_then(Value::as_str);
            return Ok((text.with_context(|| message.to_string())?.to_owned(), asked));
        };
        let Some(id) = message.get("id") else { continue };
        asked.push(method.to_owned());
        let told = json!({"jsonrpc": "2.0", "id": id, "result": answer(method)});
        // The next node's, not the one that holds the stream.
        let taken = mcp.post(told.to_string()).await?;
        ensure!(
            taken.status == StatusCode::ACCEPTED,
            "the answer was not taken: {} {}",
            taken.status,
            taken.body
        );
    }
}

/// The same in the newer era: the call is sent again with the answers.
async fn asked_in_the_result(mcp: &Mcp, tool: &str, arguments: Value) -> Result<(String, Vec<String>)> {
    let can = json!({"elicitation": {}, "sampling": {}, "roots": {}});
    let meta = json!({"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": can});
    let mcp = mcp
        .clone()
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool);
    let mut params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    let mut asked = Vec::new();
    for _ in 0..6 {
        let json = mcp.request("tools/call", params.clone()).await?;
        let message = json.messages().pop().with_context(|| json.body.clone())?;
        let result = message.get("result").with_context(|| message.to_string())?;
        if result["resultType"] != "input_required" {
            let text = result.pointer("/content/0/text").and_then(Value::as_str);
            return Ok((text.with_context(|| message.to_string())?.to_owned(), asked));
        }
        let mut answers = json!({});
        for (key, request) in result["inputRequests"].as_object().into_iter().flatten() {
            let method = request["method"].as_str().unwrap_or_default();
            asked.push(method.to_owned());
            answers[key] = answer(method);
        }
        params["inputResponses"] = answers;
        if let Some(state) = result.get("requestState") {
            params["requestState"] = state.clone();
        }
    }
    anyhow::bail!("{tool} asked without end: {asked:?}")
}

/// What is called, with what, what comes of it, and what is asked on the way.
fn calls() -> [(&'static str, Value, &'static str, &'static [&'static str]); 5] {
    [
        ("test_elicitation", json!({"message": "Who are you?"}), "ada@example.org", &["elicitation/create"]),
        (
            "test_sampling",
            json!({"prompt": "The capital of France?"}),
            "LLM response: Paris",
            &["sampling/createMessage"],
        ),
        ("test_input_required_result_list_roots", json!({}), "file:///notes/ada", &["roots/list"]),
        (
            "test_input_required_result_multi_round",
            json!({}),
            "Ada likes blue",
            &["elicitation/create", "elicitation/create"],
        ),
        ("test_simple_text", json!({}), "This is a simple text response for testing.", &[]),
    ]
}

async fn in_both_eras(sdk: Sdk, eras: Eras) -> TestResult {
    let scene = Scene::new(sdk, eras).await?;
    let session = scene.session().await?;
    let stateless = scene.everywhere.client(&scene.front);
    for (tool, arguments, expected, questions) in calls() {
        let (said, asked) = asked_on_the_stream(&session, tool, arguments.clone())
            .await
            .with_context(|| format!("{tool} on a stream"))?;
        ensure!(said.contains(expected) && asked == questions, "{tool} on a stream: {said} after {asked:?}");
        let (said, asked) = asked_in_the_result(&stateless, tool, arguments)
            .await
            .with_context(|| format!("{tool} without a stream"))?;
        ensure!(
            said.contains(expected) && asked == questions,
            "{tool} without a stream: {said} after {asked:?}"
        );
    }
    scene.clean()
}

#[tokio::test]
async fn a_server_of_the_older_era_asks_clients_of_both_over_any_node() -> TestResult {
    in_both_eras(Sdk::TypeScript, Eras::Legacy).await
}

#[tokio::test]
async fn a_server_of_the_newer_era_asks_clients_of_both_over_any_node() -> TestResult {
    in_both_eras(Sdk::Rust, Eras::Modern).await
}

#[tokio::test]
async fn a_server_of_both_eras_is_asked_once_per_call() -> TestResult {
    let scene = Scene::new(Sdk::Rust, Eras::Both).await?;
    let mcp = scene.everywhere.client(&scene.front);
    for call in 1..=3 {
        ensure!(!mcp.call("test_simple_text", json!({})).await?.text()?.is_empty());
        let asked = scene.everywhere.upstream.asked("tools/call");
        ensure!(asked == call, "{asked} requests for {call} calls");
    }
    ensure!(scene.everywhere.upstream.asked("tools/list") <= 2, "lists are fetched by nodes");
    scene.clean()
}

/// Opens a stream that tells of changes; its first word has come.
async fn listening(mcp: &Mcp) -> Result<Stream> {
    let meta = json!({"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}});
    let wanted = json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": false, "resourceSubscriptions": ["test://static-text"]});
    let params = json!({"_meta": meta, "notifications": wanted});
    let body = json!({"jsonrpc": "2.0", "id": "l-1", "method": "subscriptions/listen", "params": params});
    let listen =
        mcp.clone().header("mcp-protocol-version", MODERN).header("mcp-method", "subscriptions/listen");
    let mut stream = listen.open(body.to_string()).await?;
    let first = stream.next().await?;
    ensure!(first["method"] == "notifications/subscriptions/acknowledged", "{first}");
    let told = &first["params"]["notifications"];
    ensure!(
        told == &json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["test://static-text"]}),
        "only what is told is promised: {told}"
    );
    Ok(stream)
}

#[tokio::test]
async fn what_a_server_of_either_era_says_of_its_lists_is_told_at_once() -> TestResult {
    for (sdk, eras) in [(Sdk::Rust, Eras::Modern), (Sdk::TypeScript, Eras::Legacy)] {
        let scene = Scene::new(sdk, eras).await?;
        let mcp = scene.everywhere.client(&scene.front);
        let mut stream = listening(&mcp).await?;
        for (tool, told) in [
            ("test_trigger_tool_change", "notifications/tools/list_changed"),
            ("test_trigger_prompt_change", "notifications/prompts/list_changed"),
        ] {
            ensure!(!mcp.call(tool, json!({})).await?.text()?.is_empty());
            let heard = stream.next().await.with_context(|| format!("{told} of a server of {eras:?}"))?;
            ensure!(heard["method"] == told, "{eras:?}: {heard}");
            ensure!(heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "l-1", "{heard}");
        }
        scene.clean()?;
    }
    Ok(())
}

#[tokio::test]
async fn an_older_client_gets_the_log_messages_that_it_wants() -> TestResult {
    let scene = Scene::new(Sdk::TypeScript, Eras::Legacy).await?;
    let mcp = scene.session().await?;
    let call = json!({"jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": {"name": "test_tool_with_logging"}});
    let logged = async || {
        let (mut stream, mut logged) = (mcp.open(call.to_string()).await?, 0);
        loop {
            let message = stream.next().await?;
            match message.get("method").and_then(Value::as_str) {
                Some("notifications/message") => logged += 1,
                Some(other) => anyhow::bail!("{other} in a call that only logs"),
                None => return anyhow::Ok(logged),
            }
        }
    };
    for _ in 0..3 {
        ensure!(logged().await? == 3, "who has not said what it wants gets everything");
    }
    let taken = mcp.request("logging/setLevel", json!({"level": "error"})).await?.json()?;
    ensure!(taken.get("result").is_some(), "{taken}");
    // One node was told, and each is asked.
    for _ in 0..3 {
        ensure!(logged().await? == 0, "what is no error was not wanted");
    }
    mcp.request("logging/setLevel", json!({"level": "info"})).await?.json()?;
    for _ in 0..3 {
        ensure!(logged().await? == 3);
    }
    scene.clean()
}
