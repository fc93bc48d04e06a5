//! One workspace around one node: its bundle, its API, its member's key.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use secrecy::SecretString;
use serde_json::{Value, json};
use toolmesh_data_plane::{Config, Limits, Node, RunningNode};
use toolmesh_proto::egress::EgressPolicy;
use toolmesh_proto::seal::{CredentialPlace, Sealer};
use toolmesh_proto::v1;
use toolmesh_proto::v1::control_message::Message as Control;
use toolmesh_proto::v1::param::Place;

use crate::control::{FakeControl, JOIN_SECRET};

pub const TENANT: &str = "01890000-0000-7000-8000-000000000001";
pub const USER: &str = "01890000-0000-7000-8000-000000000002";
pub const INSTALLATION: &str = "01890000-0000-7000-8000-000000000003";
pub const KEY: &str = "tmk_0123456789abcdefghijklmnopqrstuv";
pub const SECRET: &str = "upstream-secret-value";
pub const ORIGIN: &str = "http://acme.localhost:8080";

/// What reached the API.
pub type Seen = Arc<Mutex<Vec<String>>>;

/// An API that answers with what was asked: `/status/N`, `/slow`, anything else.
pub async fn upstream() -> (String, Seen) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let app = Router::new().fallback(move |request: Request| answer(request, Arc::clone(&log)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, seen)
}

async fn answer(request: Request, log: Seen) -> Response {
    let path = request.uri().path().to_owned();
    let auth =
        request.headers().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    log.lock().unwrap().push(format!("{} {} {auth}", request.method(), request.uri()));
    if let Some(status) = path.strip_prefix("/status/") {
        let status = StatusCode::from_u16(status.parse().unwrap()).unwrap();
        return (status, axum::Json(json!({"message": "as you wish"}))).into_response();
    }
    if path == "/slow" {
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    axum::Json(json!({"path": path, "auth": auth})).into_response()
}

pub fn connector() -> v1::Connector {
    v1::Connector {
        name: "echo".into(),
        title: "Echo".into(),
        auth: Some(v1::Auth {
            kind: Some(v1::auth::Kind::Bearer(v1::BearerAuth {
                credential: "token".into(),
                header: "Authorization".into(),
                prefix: "Bearer ".into(),
            })),
            ..Default::default()
        }),
        tools: vec![
            tool("get", "read", "GET", "/items/{id}", &[("id", Place::Path), ("q", Place::Query)]),
            tool("create", "write", "POST", "/items", &[("title", Place::Body), ("password", Place::Body)]),
            tool("status", "read", "GET", "/status/{code}", &[("code", Place::Path)]),
            tool("slow", "read", "GET", "/slow", &[]),
            tool("off", "dangerous", "DELETE", "/items", &[]),
        ],
        ..Default::default()
    }
}

fn tool(name: &str, access: &str, method: &str, path: &str, params: &[(&str, Place)]) -> v1::Tool {
    let properties: serde_json::Map<String, Value> =
        params.iter().map(|(name, _)| ((*name).to_owned(), json!({"type": "string"}))).collect();
    let needed = |place: Place| place == Place::Path;
    let required: Vec<&str> =
        params.iter().filter(|(_, place)| needed(*place)).map(|(name, _)| *name).collect();
    let schema = json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let param = |(name, place): &(&str, Place)| v1::Param {
        name: (*name).into(),
        place: (*place).into(),
        required: needed(*place),
        ..Default::default()
    };
    v1::Tool {
        name: name.into(),
        title: name.into(),
        description: format!("Does {name}"),
        access: access.into(),
        input_schema_json: schema.to_string(),
        call: Some(v1::tool::Call::Rest(v1::RestCall {
            method: method.into(),
            path: path.into(),
            params: params.iter().map(param).collect(),
            body: if method == "POST" { v1::BodyEncoding::Json } else { v1::BodyEncoding::None }.into(),
            errors: Some(v1::ErrorRule { message_path: "$.message".into(), ..Default::default() }),
            ..Default::default()
        })),
        ..Default::default()
    }
}

pub fn bundle(base_url: &str, revision: u64) -> v1::TenantBundle {
    let place = CredentialPlace {
        tenant: TENANT.parse().unwrap(),
        installation: INSTALLATION.parse().unwrap(),
        name: "token",
    };
    let sealer = Sealer::new(&SecretString::from(JOIN_SECRET)).unwrap();
    v1::TenantBundle {
        tenant_id: TENANT.into(),
        revision,
        slug: "acme".into(),
        name: "Acme".into(),
        origin: ORIGIN.into(),
        oauth_base: "http://localhost:8080/oauth/acme".into(),
        installations: vec![v1::Installation {
            id: INSTALLATION.into(),
            name: "echo".into(),
            connector_hash: toolmesh_proto::connector_hash(&connector()),
            base_url: base_url.into(),
            credentials: vec![sealer.seal(place, 1, &SecretString::from(SECRET)).unwrap()],
            disabled_tools: vec!["off".into()],
            ..Default::default()
        }],
        members: vec![v1::Member {
            user_id: USER.into(),
            email: "ada@example.com".into(),
            role: "owner".into(),
            ..Default::default()
        }],
        api_keys: vec![v1::ApiKey {
            id: "01890000-0000-7000-8000-000000000004".into(),
            user_id: USER.into(),
            name: "test".into(),
            sha256: digest::digest(&digest::SHA256, KEY.as_bytes()).as_ref().to_vec(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// What the control plane tells a node that has nothing.
pub fn opening(base_url: &str) -> Vec<Control> {
    vec![
        Control::Snapshot(v1::Snapshot {
            tenants: vec![v1::TenantHead { tenant_id: TENANT.into(), revision: 1 }],
            settings: Some(v1::NodeSettings { console_origin: "http://localhost:8080".into() }),
            keys: Some(v1::KeySet::default()),
            revocations: None,
        }),
        Control::Connector(connector()),
        Control::Bundle(bundle(base_url, 1)),
        Control::CaughtUp(v1::CaughtUp {}),
    ]
}

/// The usual limits, but for waits that tests would have to wait too.
pub fn limits() -> Limits {
    Limits {
        stream_after: Duration::from_millis(100),
        stream_beat: Duration::from_millis(50),
        ..Limits::default()
    }
}

pub async fn node(folder: &Path, control: std::net::SocketAddr) -> RunningNode {
    node_with(folder, control, limits()).await
}

async fn node_with(folder: &Path, control: std::net::SocketAddr, limits: Limits) -> RunningNode {
    let config = Config {
        control_url: format!("http://{control}").parse().unwrap(),
        join_secret: SecretString::from(JOIN_SECRET),
        http_listen: "127.0.0.1:0".parse().unwrap(),
        peer: None,
        state_dir: folder.to_owned(),
        node_name: "test".into(),
        egress: EgressPolicy { allow_private: true },
        trusted_proxies: vec![],
        limits,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    Node::start(config, listener).await.unwrap()
}

/// A node with its control plane, its API and its folder.
pub struct World {
    pub control: FakeControl,
    pub node: RunningNode,
    pub folder: tempfile::TempDir,
    pub upstream: String,
    pub seen: Seen,
}

impl World {
    pub async fn start() -> Self {
        Self::with(limits()).await
    }

    /// With limits of its own.
    pub async fn with(limits: Limits) -> Self {
        let (upstream, seen) = upstream().await;
        let control = FakeControl::start(0, opening(&upstream)).await;
        let folder = tempfile::tempdir().unwrap();
        let node = node_with(folder.path(), control.address, limits).await;
        crate::control::within(node.ready()).await;
        Self { control, node, folder, upstream, seen }
    }

    pub fn client(&self) -> Client {
        Client::new(self.node.local_addr)
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// A client of the node.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    pub headers: Vec<(String, String)>,
}

pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Client {
    pub fn new(node: std::net::SocketAddr) -> Self {
        let headers = [
            ("host", "acme.localhost:8080"),
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("mcp-protocol-version", "2025-11-25"),
            ("authorization", &format!("Bearer {KEY}")),
        ];
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, url: format!("http://{node}"), headers }
    }

    /// With a header; "" takes it away.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(given, _)| given != name);
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Sends a request and gives the response before its body has come.
    pub async fn open(&self, method: &str, path: &str, body: impl Into<String>) -> reqwest::Response {
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.url)).body(body.into());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    }

    pub async fn send(&self, method: &str, path: &str, body: impl Into<String>) -> Answer {
        let response = self.open(method, path, body).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Answer {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.send("POST", "/mcp", body.to_string()).await
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.rpc("tools/call", json!({"name": tool, "arguments": arguments})).await
    }
}
