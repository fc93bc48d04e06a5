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
