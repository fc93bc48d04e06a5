//! Another MCP server behind the node: a tiny one of either era, to see every byte that passes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use toolmesh_proto::v1;
use toolmesh_proto::v1::control_message::Message as Control;
use toolmesh_proto::v1::node_message::Message as Reply;

use crate::control::within;
use crate::world::{Answer, Client, World, bundle};

const FIRST: &str = "01890000-0000-7000-8000-0000000000b1";
const SECOND: &str = "01890000-0000-7000-8000-0000000000b2";

/// What every tool's definition is, byte by byte, but for its name.
const DEFINITION: &str = r#""title":"T","description":"d","inputSchema":{"type":"object","properties":{"q":{"type":"string"},"team":{"type":"string"}},"required":["q","team"],"x-vendor":1.50},"outputSchema":{"type":"array"},"icons":[{"src":"data:,"}],"securitySchemes":[{"type":"noauth"}],"_meta":{"openai/outputTemplate":"ui://x"},"vendor":{"deep":[1,  2.0]}"#;
const RESULT: &str = r#"{"content":[{"type":"text","text":"hello","annotations":{"x":1.0}}],"structuredContent":{"n":1.50,"big":9007199254740993},"vendor":{"b" : [1]}}"#;
const ERROR: &str = r#"{"code":-31999,"message":"no","data":{"b":1.50,"a":[123456789012345678901234567890, 1e400],"e":"\u0041"}}"#;

#[derive(Clone, Default)]
struct Server {
    seen: Arc<Mutex<Vec<Value>>>,
    /// Requests of ours to the client that wait for their answers.
    asked: Arc<Mutex<HashMap<String, oneshot::Sender<Value>>>>,
    left: CancellationToken,
}

impl Server {
    async fn start() -> (Self, String) {
        let server = Self::default();
        let app = Router::new().fallback(answer).with_state(server.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (server, url)
    }

    /// The requests of a method.
    fn seen(&self, method: &str) -> Vec<Value> {
        let all = self.seen.lock().unwrap();
        all.iter().filter(|message| message["method"] == method).cloned().collect()
    }
}

fn reply(id: &Value, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let legacy = request.uri().path().starts_with("/legacy");
    if request.method() != http::Method::POST {
        return http::StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap();
    server.seen.lock().unwrap().push(message.clone());
    let id = message["id"].clone();
    if message.get("method").is_none() {
        let waiting = server.asked.lock().unwrap().remove(id.as_str().unwrap_or_default());
        if let Some(waiting) = waiting {
            let _ = waiting.send(message);
        }
        return http::StatusCode::ACCEPTED.into_response();
    }
    let complete = if legacy { "" } else { r#""resultType":"complete","# };
    let text = match message["method"].as_str().unwrap() {
        "initialize" => {
            let result = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"1"}}"#;
            return ([("content-type", "application/json"), ("mcp-session-id", "s1")], reply(&id, result))
                .into_response();
        }
        "tools/call" => return call(&server, &message, complete).await,
        "prompts/get" => reply(&id, &format!(r#"{{{complete}"messages":[],"vendor":1.0}}"#)),
        "resources/read" => {
            let uri = &message["params"]["uri"];
            reply(
                &id,
                &format!(
                    r#"{{{complete}"contents":[{{"uri":{uri},"text":"{}"}}]}}"#,
                    if legacy { "old" } else { "new" }
                ),
            )
        }
        "completion/complete" => reply(&id, &format!(r#"{{{complete}"completion":{{"values":["a"]}}}}"#)),
        _ => return http::StatusCode::ACCEPTED.into_response(),
    };
    json_response(text)
}

fn json_response(text: String) -> Response {
    ([("content-type", "application/json")], text).into_response()
}

async fn call(server: &Server, message: &Value, complete: &str) -> Response {
    let (id, params) = (&message["id"], &message["params"]);
    match params["name"].as_str().unwrap() {
        "ask" if params.get("inputResponses").is_none() => {
            let request = json!({"who": {"method": "elicitation/create", "params": {
                "mode": "form", "message": "Who?", "requestedSchema": {"type": "object", "properties": {}}
            }}});
            let result = format!(
                r#"{{"resultType":"input_required","inputRequests":{request},"requestState":"state 1"}}"#
            );
            json_response(reply(id, &result))
        }
        "ask" => {
            let said = json!([params["inputResponses"], params["requestState"]]).to_string();
            let said = Value::from(said);
            json_response(reply(id, &format!(r#"{{{complete}"content":[{{"type":"text","text":{said}}}]}}"#)))
        }
        "elicit" => {
            let (line, said) = mpsc::channel(4);
            let (answered, answer) = oneshot::channel();
            server.asked.lock().unwrap().insert("e1".to_owned(), answered);
            let id = id.clone();
            tokio::spawn(async move {
                let ask = json!({"jsonrpc": "2.0", "id": "e1", "method": "elicitation/create", "params": {
                    "message": "Who?", "requestedSchema": {"type": "object", "properties": {}}
                }});
                line.send(ask.to_string()).await.unwrap();
                let answer = answer.await.unwrap();
                let said = Value::from(answer["result"].to_string());
                let result = format!(r#"{{"content":[{{"type":"text","text":{said}}}]}}"#);
                let _ = line.send(reply(&id, &result)).await;
            });
            events(said)
        }
        "progress" => {
            let (line, said) = mpsc::channel(8);
            let token = params["_meta"]["progressToken"].clone();
            for progress in [0, 50, 100] {
                let told = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {
                    "progressToken": token, "progress": progress, "total": 100
                }});
                line.send(told.to_string()).await.unwrap();
            }
            line.send(reply(id, &format!(r#"{{{complete}"content":[]}}"#))).await.unwrap();
            events(said)
        }
        "never" => {
            let guard = server.left.clone().drop_guard();
            let body = stream::unfold(guard, |guard| async move {
                std::future::pending::<()>().await;
                Some((Ok::<_, std::convert::Infallible>(Bytes::new()), guard))
            });
            ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response()
        }
        "links" => {
            let uris = ["test://shared", "test://t/5", "none://listed", "https://example.org/page", "ui://x"];
            let link = |uri: &str| json!({"type": "resource_link", "uri": uri, "name": "n"});
            let embedded = json!({"type": "resource", "resource": {"uri": "none://listed", "text": "t"}});
            let content: Vec<Value> = uris.into_iter().map(link).chain([embedded]).collect();
            json_response(reply(id, &format!(r#"{{{complete}"content":{}}}"#, Value::from(content))))
        }
        "fail" => json_response(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{ERROR}}}"#)),
        _ => json_response(reply(id, &RESULT.replacen('{', &format!("{{{complete}"), 1))),
    }
}

fn events(said: mpsc::Receiver<String>) -> Response {
    let events = stream::unfold(said, |mut said| async move {
        let text = said.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(format!("data: {text}\n\n")), said))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
}

fn definition(name: &str, key: &str) -> v1::McpDefinition {
    let definition_json = format!(r#"{{"{key}":"{name}","name":"n","vendor":{{"a" : 1.0}}}}"#);
    v1::McpDefinition { name: name.into(), definition_json }
}

fn connector(legacy: bool) -> v1::Connector {
    let tool = |name: &str| v1::Tool {
        name: name.into(),
        title: "T".into(),
        description: "d".into(),
        access: "read".into(),
        input_schema_json: "{}".into(),
        call: Some(v1::tool::Call::Upstream(v1::UpstreamCall {
            definition_json: format!(r#"{{"name":"{name}",{DEFINITION}}}"#),
        })),
        ..Default::default()
    };
    let tools = ["plain", "ask", "elicit", "progress", "never", "links", "fail", "web_search"];
    let capabilities = json!({"tools": {}, "prompts": {}, "resources": {"subscribe": true}, "completions": {}, "logging": {}});
    v1::Connector {
        name: if legacy { "old" } else { "new" }.into(),
        title: if legacy { "Old" } else { "New" }.into(),
        tools: tools.into_iter().map(tool).collect(),
        server: Some(v1::McpServer {
            transport: v1::mcp_server::Transport::StreamableHttp.into(),
            revision: if legacy { "2025-11-25" } else { "2026-07-28" }.into(),
            capabilities_json: capabilities.to_string(),
            prompts: vec![v1::McpDefinition {
                name: "greet".into(),
                definition_json: r#"{"name":"greet","vendor":1.0}"#.into(),
            }],
            resources: if legacy {
                vec![definition("test://shared", "uri")]
            } else {
                vec![definition("test://shared", "uri"), definition("ui://x", "uri")]
            },
            resource_templates: vec![definition("test://t/{id}", "uriTemplate")],
            instructions: "Ask me anything.".into(),
        }),
        ..Default::default()
    }
}

fn installation(id: &str, url: &str, legacy: bool) -> v1::Installation {
    v1::Installation {
        id: id.into(),
        name: if legacy { "old" } else { "new" }.into(),
        connector_hash: toolmesh_proto::connector_hash(&connector(legacy)),
        base_url: format!("{url}/{}?key=1", if legacy { "legacy" } else { "modern" }),
        ..Default::default()
    }
}

/// A node in front of a server of each era, with a bundle changed in this way.
async fn world(change: impl FnOnce(&mut v1::TenantBundle)) -> (World, Server) {
    let world = World::start().await;
    let (server, url) = Server::start().await;
    let mut bundle = bundle(&world.upstream, 2);
    bundle.installations.push(installation(FIRST, &url, false));
    bundle.installations.push(installation(SECOND, &url, true));
    change(&mut bundle);
    world.control.tell(Control::Connector(connector(false))).await;
    world.control.tell(Control::Connector(connector(true))).await;
    world.control.tell(Control::Bundle(bundle)).await;
    world.control.heard(|reply| matches!(reply, Reply::Ack(ack) if ack.revision == 2).then_some(())).await;
    (world, server)
}

/// A client of the newest revision, with the capabilities that it declares.
#[derive(Clone)]
struct Modern(Client, Value);

impl Modern {
    fn new(world: &World) -> Self {
        let client = world.client().with("mcp-protocol-version", "2026-07-28");
        Self(client.with("accept", "application/json, text/event-stream"), json!({"elicitation": {}}))
    }

    async fn rpc(&self, method: &str, mut params: Value) -> Answer {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.1.clone();
        let name =
            params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str).unwrap_or_default();
        let client = self.0.clone().with("mcp-method", method).with("mcp-name", name);
        client.rpc(method, params).await
    }

    async fn call(&self, tool: &str) -> Value {
        self.rpc("tools/call", json!({"name": tool, "arguments": {"q": "1"}})).await.json()
    }
}

fn messages(answer: &Answer) -> Vec<Value> {
    let data = answer.text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_definition_and_a_result_pass_byte_by_byte_and_one_request_is_sent_for_a_call() {
    let (world, server) = world(|_| {}).await;
    // Neither client can be asked anything: what the server knows of them is the same.
    let modern = Modern(Modern::new(&world).0, json!({}));
    let list = modern.rpc("tools/list", json!({})).await.text;
    assert!(list.contains(&format!(r#"{{"name":"new_plain",{DEFINITION}}}"#)), "{list}");
    let older = world.client().rpc("tools/list", json!({})).await.text;
    let without = DEFINITION.replace(r#""outputSchema":{"type":"array"},"#, "");
    assert!(older.contains(&format!(r#"{{"name":"new_plain",{without}}}"#)), "{older}");
    for tool in ["new_plain", "old_plain"] {
        let old = world.client().call(tool, json!({"q": "x"})).await;
        assert!(old.text.contains(RESULT), "{}", old.text);
        let new = modern.rpc("tools/call", json!({"name": tool})).await;
        let body = RESULT.strip_suffix('}').and_then(|body| body.strip_prefix('{')).unwrap();
        assert!(new.text.contains(body), "{}", new.text);
        assert_eq!(new.json()["result"]["resultType"], "complete");
    }
    let calls = server.seen("tools/call");
    assert_eq!(calls.len(), 4);
    assert_eq!(
        (&calls[0]["params"]["name"], &calls[0]["params"]["arguments"]),
        (&json!("plain"), &json!({"q": "x"}))
    );
    assert_eq!(calls[1]["params"]["arguments"], json!({}), "what is missing is an empty object");
    assert_eq!(server.seen("initialize").len(), 1, "one session serves both calls");
    let modern_server: Vec<_> = server.seen("server/discover");
    assert!(modern_server.is_empty() && server.seen("tools/list").is_empty());
    let events = world.control.events(4).await;
    let step = events[0].1.steps.iter().find(|step| step.name == "upstream").unwrap();
    assert!(step.detail.contains("1 request"), "{}", step.detail);
}

#[tokio::test]
async fn an_admin_renames_a_tool_sets_its_arguments_and_gives_it_a_bare_alias() {
    let (world, server) = world(|bundle| {
        let argument = |name: &str, value: &str, fixed| v1::ArgumentOverride {
            name: name.into(),
            value_json: value.into(),
            fixed,
        };
        bundle.installations[1].overrides = vec![v1::ToolOverride {
            tool: "plain".into(),
            name: "better".into(),
            title: "Better".into(),
            description: String::new(),
            annotations_json: r#"{"readOnlyHint":true}"#.into(),
            arguments: vec![argument("team", "\"core\"", true), argument("q", "\"all\"", false)],
        }];
        bundle.installations[2].bare_names = true;
        bundle.aliases = vec![
            v1::ToolAlias { alias: "search".into(), installation_id: FIRST.into(), tool: "plain".into() },
            v1::ToolAlias { alias: "web_search".into(), installation_id: FIRST.into(), tool: "ask".into() },
        ];
    })
    .await;
    let client = world.client();
    let list = client.rpc("tools/list", json!({})).await.json();
    let tools = list["result"]["tools"].as_array().unwrap();
    let named = |name: &str| tools.iter().find(|tool| tool["name"] == name);
    let search = named("search").unwrap();
    assert_eq!(
        (&search["title"], &search["annotations"]),
        (&json!("Better"), &json!({"readOnlyHint": true}))
    );
    assert_eq!(
        search["inputSchema"],
        json!({"type": "object", "properties": {"q": {"type": "string", "default": "all"}}, "x-vendor": 1.5})
    );
    assert_eq!(search["vendor"], json!({"deep": [1, 2.0]}));
    assert!(named("new_better").is_none() && named("new_plain").is_none() && named("new_ask").is_some());
    assert!(named("plain").is_some() && named("old_web_search").is_some() && named("web_search").is_none());
    for name in ["search", "new_better"] {
        assert_eq!(
            client.call(name, json!({})).await.json()["result"]["vendor"],
            json!({"b": [1]}),
            "{name}"
        );
    }
    let sent = &server.seen("tools/call")[1]["params"];
    assert_eq!((&sent["name"], &sent["arguments"]), (&json!("plain"), &json!({"team": "core", "q": "all"})));
    let refused = client.call("search", json!({"team": "other"})).await.json();
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("/team: it is set by the workspace"), "{text}");
    assert_eq!(server.seen("tools/call").len(), 2);
    let events = world.control.events(3).await;
    assert!(events.iter().all(|(_, event)| event.tool == "new_better"), "one name in the log");
}

#[tokio::test]
async fn prompts_resources_and_completion_reach_the_server_that_offers_them() {
    let (world, server) = world(|bundle| {
        bundle.installations[1].disabled_definitions = vec!["test://t/{id}".into()];
    })
    .await;
    let modern = Modern::new(&world);
    let discovered = modern.rpc("server/discover", json!({})).await.json();
    let capabilities = &discovered["result"]["capabilities"];
    assert_eq!(capabilities["resources"], json!({"subscribe": true, "listChanged": true}));
    assert!(discovered["result"]["instructions"].as_str().unwrap().contains("New says: Ask me anything."));
    let prompts = modern.rpc("prompts/list", json!({})).await;
    assert!(prompts.text.contains(r#"{"name":"old_greet","vendor":1.0}"#), "{}", prompts.text);
    assert_eq!(prompts.json()["result"]["cacheScope"], "private");
    let got = modern.rpc("prompts/get", json!({"name": "new_greet", "arguments": {"a": "b"}})).await;
    assert!(got.text.contains(r#""messages":[],"vendor":1.0"#), "{}", got.text);
    assert_eq!(server.seen("prompts/get")[0]["params"]["name"], "greet");
    let unknown = modern.rpc("prompts/get", json!({"name": "greet"})).await.json();
    assert_eq!(unknown["error"]["code"], -32602);

    let listed = modern.rpc("resources/list", json!({})).await.json();
    let uris: Vec<&str> = listed["result"]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["uri"].as_str().unwrap())
        .collect();
    assert_eq!(uris, ["test://shared", "ui://x", "mcp+old://test%3A%2F%2Fshared"]);
    for (uri, text) in [
        ("test://shared", "new"),
        ("ui://x", "new"),
        ("ui://mcp+old/ui%3A%2F%2Fx", "old"),
        ("mcp+old://test%3A%2F%2Fshared", "old"),
        ("mcp+new://test%3A%2F%2Fshared", "new"),
        ("test://t/5", "old"),
    ] {
        let read = modern.rpc("resources/read", json!({ "uri": uri })).await.json();
        assert_eq!(read["result"]["contents"], json!([{"uri": uri, "text": text}]), "{uri}: {read}");
    }
    for uri in ["mcp+new://test%3A%2F%2Ft%2F5", "mcp+echo://x", "other://x"] {
        let missing = modern.rpc("resources/read", json!({ "uri": uri })).await.json();
        assert_eq!(
            (&missing["error"]["code"], &missing["error"]["data"]["uri"]),
            (&json!(-32602), &json!(uri))
        );
        let missing = world.client().rpc("resources/read", json!({ "uri": uri })).await.json();
        assert_eq!(missing["error"]["code"], -32002);
    }
    let templates = world.client().rpc("resources/templates/list", json!({})).await.json();
    assert_eq!(templates["result"]["resourceTemplates"].as_array().unwrap().len(), 1);
    let argument = json!({"name": "arg1", "value": "a"});
    let completed = world
        .client()
        .rpc(
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "old_greet"}, "argument": argument}),
        )
        .await
        .json();
    assert_eq!(completed["result"]["completion"]["values"], json!(["a"]));
    assert_eq!(server.seen("completion/complete")[0]["params"]["ref"]["name"], "greet");
    let begun = world.client().rpc("initialize", json!({"protocolVersion": "2025-11-25"})).await.json();
    let told = &begun["result"]["capabilities"]["resources"];
    assert_eq!(told, &json!({"subscribe": false, "listChanged": false}), "older clients would hear nothing");
    for method in ["logging/setLevel", "resources/subscribe", "resources/unsubscribe"] {
        assert_eq!(world.client().rpc(method, json!({"level": "info"})).await.json()["result"], json!({}));
        assert_eq!(modern.rpc(method, json!({})).await.status, 404);
    }
    let events = world.control.events(1).await;
    assert_eq!((events[0].1.method.as_str(), events[0].1.tool.as_str()), ("prompts/get", "new_greet"));
}

#[tokio::test]
async fn an_error_of_a_server_passes_byte_by_byte_in_every_pairing_of_eras() {
    let (world, _server) = world(|_| {}).await;
    for tool in ["new_fail", "old_fail"] {
        let expected = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{ERROR}}}"#);
        let modern = Modern::new(&world).rpc("tools/call", json!({"name": tool})).await;
        assert_eq!(modern.text, expected);
        assert_eq!(world.client().call(tool, json!({})).await.text, expected);
    }
}

/// The URIs in a tool's result.
fn uris(result: &Value) -> Vec<String> {
    let uri = |block: &Value| block.get("resource").unwrap_or(block)["uri"].as_str().unwrap().to_owned();
    result["content"].as_array().unwrap().iter().map(uri).collect()
}

#[tokio::test]
async fn a_link_in_a_result_leads_to_the_server_that_gave_it() {
    let (world, _server) = world(|_| {}).await;
    let modern = Modern::new(&world);
    for (tool, text) in [("new_links", "new"), ("old_links", "old")] {
        let result = &modern.call(tool).await["result"];
        let links = uris(result);
        assert_eq!(links, uris(&world.client().call(tool, json!({"q": "1"})).await.json()["result"]));
        for uri in links.iter().filter(|uri| !uri.starts_with("https:")) {
            let read = modern.rpc("resources/read", json!({ "uri": uri })).await.json();
            assert_eq!(read["result"]["contents"], json!([{"uri": uri, "text": text}]), "{uri}: {read}");
        }
        assert_eq!(links[2], links[5], "a link and what is embedded have one URI");
        assert_eq!(links[3], "https://example.org/page", "clients open the web by themselves");
        assert!(links[4].starts_with("ui://"), "{links:?}");
        let listed = modern.rpc("tools/list", json!({})).await.json();
        let listed = listed["result"]["tools"].as_array().unwrap();
        let page = listed.iter().find(|one| one["name"] == tool).unwrap();
        assert_eq!(page["_meta"]["openai/outputTemplate"], json!(links[4]), "a tool's page is read alike");
    }
}

#[tokio::test]
async fn what_one_server_alone_gives_keeps_its_uris() {
    let (world, _server) = world(|bundle| bundle.installations.truncate(2)).await;
    let links = uris(&Modern::new(&world).call("new_links").await["result"]);
    let own = ["test://shared", "test://t/5", "none://listed", "https://example.org/page", "ui://x"];
    assert_eq!(links, [own.as_slice(), &["none://listed"]].concat());
}

#[tokio::test]
async fn without_a_server_behind_the_endpoint_its_methods_are_not_there() {
    let world = World::start().await;
    let answer = world.client().rpc("prompts/list", json!({})).await.json();
    assert_eq!(answer["error"]["code"], -32601);
    assert_eq!(Modern::new(&world).rpc("resources/read", json!({"uri": "a://b"})).await.status, 404);
}

#[tokio::test]
async fn progress_comes_on_a_stream_if_it_is_asked_for() {
    let (world, _server) = world(|_| {}).await;
    let modern = Modern::new(&world);
    for tool in ["new_progress", "old_progress"] {
        let params = json!({"name": tool, "arguments": {}, "_meta": {"progressToken": "p7"}});
        let told = modern.rpc("tools/call", params.clone()).await;
        assert_eq!(told.header("content-type"), "text/event-stream");
        let told = messages(&told);
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(
            (&told[1]["params"]["progress"], &told[1]["params"]["progressToken"]),
            (&json!(50), &json!("p7"))
        );
        assert!(told[3]["result"]["content"].is_array());
        let silent = modern.rpc("tools/call", json!({"name": tool, "arguments": {}})).await;
        assert_eq!(silent.header("content-type"), "application/json");
        let both = world.client().with("accept", "application/json, text/event-stream");
        assert_eq!(messages(&both.rpc("tools/call", params).await).len(), 4);
    }
}

#[tokio::test]
async fn a_client_of_the_newest_revision_cancels_by_leaving_and_an_older_one_by_a_message() {
    let (world, server) = world(|_| {}).await;
    let modern = Modern::new(&world);
    let leaving = tokio::spawn(async move { modern.call("new_never").await });
    within(async {
        while server.seen("tools/call").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    leaving.abort();
    within(server.left.cancelled()).await;
    let (_, event) = world.control.events(1).await.remove(0);
    assert_eq!(event.outcome(), v1::Outcome::Cancelled, "{event:?}");

    let client = world.client();
    let waiting = tokio::spawn(async move { client.call("old_never", json!({})).await.json() });
    within(async {
        while server.seen("tools/call").len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let cancel =
        |id: u32| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    world.client().send("POST", "/mcp", cancel(99).to_string()).await;
    world.client().send("POST", "/mcp", cancel(1).to_string()).await;
    let answer = within(waiting).await.unwrap();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let events = world.control.events(2).await;
    assert_eq!(events[1].1.outcome(), v1::Outcome::Cancelled);
}

#[tokio::test]
async fn a_modern_server_asks_a_modern_client_in_rounds_and_a_state_is_good_for_its_call_alone() {
    let (world, server) = world(|_| {}).await;
    let modern = Modern::new(&world);
    let first = modern.call("new_ask").await;
    let result = &first["result"];
    assert_eq!(result["resultType"], "input_required", "{first}");
    assert_eq!(result["inputRequests"]["who"]["method"], "elicitation/create");
    let state = result["requestState"].as_str().unwrap().to_owned();
    assert!(!state.contains("state 1"));
    let retry = |name: &str, state: &str| {
        let responses = json!({"who": {"action": "accept"}, "extra": 1});
        json!({"name": name, "arguments": {"q": "1"}, "inputResponses": responses, "requestState": state})
    };
    let done = modern.rpc("tools/call", retry("new_ask", &state)).await.json();
    assert_eq!(done["result"]["content"][0]["text"], r#"[{"who":{"action":"accept"}},"state 1"]"#);
    let mut other = retry("new_ask", &state);
    other["arguments"]["q"] = "2".into();
    let tampered = format!("{}A", &state[..state.len() - 1]);
    let mut number = retry("new_ask", &state);
    number["inputResponses"]["who"] = 12345.into();
    for bad in
        [retry("new_plain", &state), other, retry("new_ask", &tampered), retry("new_ask", "nonsense"), number]
    {
        let refused = modern.rpc("tools/call", bad.clone()).await.json();
        assert!(
            refused["error"]["code"] == -32602
                || bad["requestState"] == state.as_str() && refused["error"].is_object(),
            "{refused}"
        );
    }
    assert_eq!(server.seen("tools/call").len(), 2);
    let narrow = Modern(modern.0.clone(), json!({}));
    let refused = narrow.rpc("tools/call", json!({"name": "new_ask", "arguments": {}})).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!(-32021)));
    assert_eq!(refused.json()["error"]["data"]["requiredCapabilities"], json!({"elicitation": {}}));
}

/// The next message of a stream.
async fn message(stream: &mut reqwest::Response, held: &mut String) -> Value {
    loop {
        while let Some((event, rest)) = held.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
            *held = rest.to_owned();
            if let Some(data) = data {
                return serde_json::from_str(&data).unwrap();
            }
        }
        let chunk = within(stream.chunk()).await.unwrap().unwrap();
        held.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

/// A client of an older revision that can be asked, with its session.
async fn session(world: &World) -> Client {
    let client = world.client().with("accept", "application/json, text/event-stream");
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}});
    let begun = client.rpc("initialize", params).await;
    let id = begun.header("mcp-session-id");
    assert!(!id.is_empty() && id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
    client.with("mcp-session-id", id)
}

#[tokio::test]
async fn an_older_client_is_asked_on_its_stream_by_servers_of_either_era() {
    let (world, server) = world(|_| {}).await;
    let client = session(&world).await;
    for (tool, expected) in
        [("old_elicit", r#"{"action":"accept"}"#), ("new_ask", r#"[{"who":{"action":"accept"}},"state 1"]"#)]
    {
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
        let mut stream = client.open("POST", "/mcp", call.to_string()).await;
        let mut held = String::new();
        let asked = message(&mut stream, &mut held).await;
        assert_eq!(
            (&asked["method"], &asked["params"]["message"]),
            (&json!("elicitation/create"), &json!("Who?"))
        );
        let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept"}}).to_string();
        let taken = client.send("POST", "/mcp", answer.clone()).await;
        assert_eq!((taken.status, taken.text.as_str()), (202, ""));
        let done = message(&mut stream, &mut held).await;
        assert_eq!(
            (&done["id"], &done["result"]["content"][0]["text"]),
            (&json!(7), &json!(expected)),
            "{done}"
        );
        assert_eq!(client.send("POST", "/mcp", answer).await.status, 202, "an answer too late is nothing");
    }
    assert_eq!(server.seen("tools/call").len(), 3);
    // Without a session nothing can be asked of the client.
    let plain = world.client().call("new_ask", json!({})).await.json();
    assert!(plain["error"]["message"].as_str().unwrap().contains("cannot be asked"), "{plain}");
}

#[tokio::test]
async fn a_session_that_is_not_its_callers_is_over() {
    let (world, _server) = world(|_| {}).await;
    let client = world.client().with("mcp-session-id", "nonsense");
    assert_eq!(client.rpc("ping", json!({})).await.status, 404);
    assert_eq!(client.rpc("initialize", json!({})).await.status, 200);
    let client = session(&world).await;
    assert_eq!(client.rpc("ping", json!({})).await.status, 200);
    assert_eq!(client.send("DELETE", "/mcp", "").await.status, 405);
}

#[tokio::test]
async fn a_question_of_an_older_server_waits_for_the_next_request_of_a_modern_client() {
    let (world, server) = world(|_| {}).await;
    let modern = Modern::new(&world);
    let first = modern.call("old_elicit").await;
    let result = &first["result"];
    assert_eq!(result["resultType"], "input_required", "{first}");
    let requests = result["inputRequests"].as_object().unwrap();
    let (key, request) = requests.iter().next().unwrap();
    assert_eq!(
        (&request["method"], &request["params"]["message"]),
        (&json!("elicitation/create"), &json!("Who?"))
    );
    let retry = |responses: Value, state: &Value| json!({"name": "old_elicit", "arguments": {"q": "1"}, "inputResponses": responses, "requestState": state});
    // What is missing is asked again.
    let again = modern.rpc("tools/call", retry(json!({"other": {}}), &result["requestState"])).await.json();
    assert_eq!(again["result"]["inputRequests"], result["inputRequests"], "{again}");
    let answers = json!({ key.as_str(): {"action": "accept"} });
    let done =
        modern.rpc("tools/call", retry(answers.clone(), &again["result"]["requestState"])).await.json();
    assert_eq!(done["result"]["content"][0]["text"], r#"{"action":"accept"}"#, "{done}");
    let late = modern.rpc("tools/call", retry(answers, &again["result"]["requestState"])).await.json();
    assert_eq!(late["error"]["code"], -32602);
    assert_eq!(server.seen("tools/call").len(), 1);
}

#[tokio::test]
async fn a_long_list_comes_in_pages_of_one_revision() {
    let (world, _server) = world(|_| {}).await;
    let mut many = connector(false);
    let template = many.tools[0].clone();
    many.tools = (0..600).map(|n| v1::Tool { name: format!("tool_{n}"), ..template.clone() }).collect();
    let mut bundle = bundle(&world.upstream, 3);
    let mut installed = installation(FIRST, "http://127.0.0.1:1", false);
    installed.connector_hash = toolmesh_proto::connector_hash(&many);
    bundle.installations = vec![installed];
    world.control.tell(Control::Connector(many)).await;
    world.control.tell(Control::Bundle(bundle)).await;
    world.control.heard(|reply| matches!(reply, Reply::Ack(ack) if ack.revision == 3).then_some(())).await;
    let (client, mut names, mut cursor) = (world.client(), Vec::new(), json!(""));
    loop {
        let page = client.rpc("tools/list", json!({ "cursor": cursor })).await.json();
        let tools = page["result"]["tools"].as_array().unwrap().clone();
        names.extend(tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()));
        cursor = page["result"]["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let expected: Vec<String> = (0..600).map(|n| format!("new_tool_{n}")).collect();
    assert_eq!(names, expected);
    let bad = client.rpc("tools/list", json!({"cursor": "MS4yNTA"})).await.json();
    assert_eq!(bad["error"]["code"], -32602);
}
