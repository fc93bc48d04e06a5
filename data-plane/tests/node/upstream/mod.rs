//! Another MCP server behind the node: a tiny one of either era, to see every byte that passes.
//!
//! `passing` is what goes through unasked, `asking` what a server asks while it is called, and how a call ends before its answer.

mod asking;
mod passing;

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
