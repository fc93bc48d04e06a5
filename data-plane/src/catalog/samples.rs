//! A small workspace for the tests of every room.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use toolmesh_proto::v1;
use toolmesh_proto::v1::param::Place;

use super::{Connector, Tenant};

pub const TENANT: &str = "01890000-0000-7000-8000-000000000001";
pub const USER: &str = "01890000-0000-7000-8000-000000000002";
pub const INSTALLATION: &str = "01890000-0000-7000-8000-000000000003";
pub const API_KEY_ID: &str = "01890000-0000-7000-8000-000000000004";
pub const API_KEY: &str = "tmk_0123456789abcdefghijklmnopqrstuv";
pub const SERVICE_ACCOUNT: &str = "01890000-0000-7000-8000-000000000005";
pub const ORIGIN: &str = "http://acme.localhost:8080";

/// A GitHub with three tools.
pub fn connector() -> v1::Connector {
    let issue = [("owner", Place::Path), ("repo", Place::Path)];
    v1::Connector {
        name: "github".into(),
        title: "GitHub".into(),
        base_url: "https://api.github.com".into(),
        tools: vec![
            tool("list_issues", "read", "GET", &[issue[0], issue[1], ("state", Place::Query)]),
            tool("create_issue", "write", "POST", &[issue[0], issue[1], ("title", Place::Body)]),
            tool("delete_repo", "dangerous", "DELETE", &issue),
        ],
        ..Default::default()
    }
}

fn tool(name: &str, access: &str, method: &str, params: &[(&str, Place)]) -> v1::Tool {
    let properties: serde_json::Map<String, serde_json::Value> =
        params.iter().map(|(name, _)| ((*name).to_owned(), serde_json::json!({"type": "string"}))).collect();
    let schema = serde_json::json!({
        "type": "object", "properties": properties, "required": ["owner", "repo"], "additionalProperties": false
    });
    let required = |name: &str| matches!(name, "owner" | "repo");
    v1::Tool {
        name: name.into(),
        title: name.replace('_', " "),
        description: format!("Does {name}."),
        access: access.into(),
        input_schema_json: schema.to_string(),
        call: Some(v1::tool::Call::Rest(v1::RestCall {
            method: method.into(),
            path: "/repos/{owner}/{repo}/issues".into(),
            params: params
                .iter()
                .map(|(name, place)| v1::Param {
                    name: (*name).into(),
                    place: (*place).into(),
                    required: required(name),
                    ..Default::default()
                })
                .collect(),
            body: if method == "POST" { v1::BodyEncoding::Json } else { v1::BodyEncoding::None }.into(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// A bundle in which `delete_repo` is switched off.
pub fn bundle() -> v1::TenantBundle {
    v1::TenantBundle {
        tenant_id: TENANT.into(),
        revision: 1,
        slug: "acme".into(),
        name: "Acme".into(),
        origin: ORIGIN.into(),
        oauth_base: "http://localhost:8080/oauth/acme".into(),
        installations: vec![v1::Installation {
            id: INSTALLATION.into(),
            name: "github".into(),
            connector_hash: toolmesh_proto::connector_hash(&connector()),
            base_url: "https://api.github.com".into(),
            credentials: vec![],
            disabled_tools: vec!["delete_repo".into()],
            ..Default::default()
        }],
        members: vec![v1::Member {
            user_id: USER.into(),
            email: "ada@example.com".into(),
            role: "owner".into(),
            ..Default::default()
        }],
        api_keys: vec![v1::ApiKey {
            id: API_KEY_ID.into(),
            user_id: USER.into(),
            name: "ci".into(),
            sha256: digest::digest(&digest::SHA256, API_KEY.as_bytes()).as_ref().to_vec(),
            scope: "all".into(),
            ..Default::default()
        }],
        service_accounts: vec![v1::ServiceAccount {
            id: SERVICE_ACCOUNT.into(),
            name: "nightly".into(),
            ..v1::ServiceAccount::default()
        }],
        ..Default::default()
    }
}

/// Other MCP servers, each with a name, resources and templates: a bundle and its connectors.
pub fn with_servers(servers: &[(&str, &[&str], &[&str])]) -> (v1::TenantBundle, Vec<v1::Connector>) {
    let definitions = |all: &[&str], member: &str| -> Vec<v1::McpDefinition> {
        let definition = |name: &&str| v1::McpDefinition {
            name: (*name).to_owned(),
            definition_json: serde_json::json!({ "name": "n", member: name }).to_string(),
        };
        all.iter().map(definition).collect()
    };
    let connector = |(name, resources, templates): &(&str, &[&str], &[&str])| v1::Connector {
        name: (*name).to_owned(),
        title: (*name).to_owned(),
        base_url: "https://mcp.example.com".into(),
        server: Some(v1::McpServer {
            capabilities_json: r#"{"resources":{}}"#.into(),
            resources: definitions(resources, "uri"),
            resource_templates: definitions(templates, "uriTemplate"),
            ..Default::default()
        }),
        ..Default::default()
    };
    let connectors: Vec<v1::Connector> = servers.iter().map(connector).collect();
    let installation = |(at, connector): (usize, &v1::Connector)| v1::Installation {
        id: format!("01890000-0000-7000-8000-0000000001{at:02}"),
        name: connector.name.clone(),
        connector_hash: toolmesh_proto::connector_hash(connector),
        base_url: connector.base_url.clone(),
        ..Default::default()
    };
    let installations = connectors.iter().enumerate().map(installation).collect();
    (v1::TenantBundle { installations, ..bundle() }, connectors)
}

pub fn compile_with((bundle, connectors): &(v1::TenantBundle, Vec<v1::Connector>)) -> Tenant {
    let compiled = |one: &v1::Connector| {
        let compiled = Arc::new(Connector::compile(one).unwrap());
        (compiled.hash.clone(), compiled)
    };
    let connectors: HashMap<String, Arc<Connector>> = connectors.iter().map(compiled).collect();
    Tenant::compile(bundle, &|hash| connectors.get(hash).cloned().map(Ok)).unwrap()
}

/// Parts of each of [`deep`].
pub const DEEP_PARTS: u64 = 342;

/// A thousand templates that no URI of letters comes of, as a close look at the whole of it tells.
pub fn deep() -> Vec<&'static str> {
    static DEEP: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| format!("{}!{{+a}}", "{+a}".repeat(340)));
    vec![DEEP.as_str(); 1000]
}

pub fn connectors() -> HashMap<String, Arc<Connector>> {
    let connector = Arc::new(Connector::compile(&connector()).unwrap());
    HashMap::from([(connector.hash.clone(), connector)])
}

pub fn compile(bundle: &v1::TenantBundle) -> Tenant {
    let connectors = connectors();
    Tenant::compile(bundle, &|hash| connectors.get(hash).cloned().map(Ok)).unwrap()
}

pub fn tenant() -> Tenant {
    compile(&bundle())
}
