//! Servers good and bad, played in this process, and what callers get of them.

mod hostile;
mod legacy;
mod modern;
mod oldest;
mod played;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use toolmesh_proto::claims::Subject;
use toolmesh_proto::egress::EgressPolicy;
use toolmesh_proto::ids::UserId;
use toolmesh_proto::v1;

use super::*;
use crate::call::line::{Client, Event};
use crate::catalog::{Connector, Tenant, samples};
use crate::config::Limits;

const ECHO: &str = r#"{"name":"echo","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}"#;

/// An installation of a server that speaks this revision.
fn installed(url: &str, revision: &str, transport: v1::mcp_server::Transport) -> Arc<Installation> {
    let tool = v1::Tool {
        name: "echo".into(),
        input_schema_json: r#"{"type":"object"}"#.into(),
        call: Some(v1::tool::Call::Upstream(v1::UpstreamCall { definition_json: ECHO.into() })),
        ..Default::default()
    };
    let server = v1::McpServer {
        transport: transport.into(),
        revision: revision.into(),
        capabilities_json: "{}".into(),
        ..Default::default()
    };
    let definition =
        v1::Connector { name: "other".into(), tools: vec![tool], server: Some(server), ..Default::default() };
    let mut bundle = samples::bundle();
    bundle.installations = vec![v1::Installation {
        id: toolmesh_proto::ids::InstallationId::new().to_string(),
        name: "other".into(),
        connector_hash: toolmesh_proto::connector_hash(&definition),
        base_url: url.into(),
        timeout_seconds: 2,
        ..Default::default()
    }];
    let connector = Arc::new(Connector::compile(&definition).unwrap());
    let tenant = Tenant::compile(&bundle, &|_| Some(Ok(Arc::clone(&connector)))).unwrap();
    assert!(tenant.faults.is_empty(), "{:?}", tenant.faults);
    Arc::clone(&tenant.installations[0])
}

fn upstreams() -> Upstreams {
    let limits = Limits { answer_bytes: 64 << 10, ..Limits::default() };
    let outbound = Outbound::new(EgressPolicy { allow_private: true }, &limits).unwrap();
    Upstreams::new(outbound, Reporter::default())
}

fn question(arguments: &Value) -> Question {
    let params = json!({"name": "echo", "arguments": arguments});
    Question { method: "tools/call", params: params.as_object().unwrap().clone(), round: None }
}

fn somebody() -> Subject {
    Subject::User(UserId::new())
}

/// A client that can be asked everything and wants to hear of progress and warnings.
fn client() -> (Line, mpsc::Receiver<Event>, CancellationToken) {
    let object = |value: Value| -> Map<String, Value> { value.as_object().unwrap().clone() };
    let client = Client {
        capabilities: object(json!({"elicitation": {}, "sampling": {}, "roots": {}})),
        meta: object(json!({"progressToken": "p", "acme/x": 1})),
        log_level: Some("warning".into()),
        rounds: false,
    };
    let gone = CancellationToken::new();
    let (line, heard) = Line::new(client, gone.clone());
    (line, heard, gone)
}

/// One call by somebody whom nobody can ask.
async fn call(upstreams: &Upstreams, installation: &Installation, subject: Subject) -> Asked {
    let line = Line::silent(CancellationToken::new());
    upstreams.ask(installation, subject, &Placement::default(), question(&json!({})), &line).await
}

fn text(asked: Asked) -> String {
    match asked.result {
        Ok(Answer::Result(raw)) => {
            let result: Value = serde_json::from_str(raw.get()).unwrap();
            result["content"][0]["text"].as_str().unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

fn said(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

const SOON: Duration = Duration::from_secs(5);
