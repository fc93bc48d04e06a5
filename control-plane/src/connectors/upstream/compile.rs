//! From what was approved of a server to the connector that nodes get. Pure.

use serde_json::Value as Json;
use toolmesh_proto::v1;

use super::definitions::{Kind, members, text, title};
use super::review::{Known, State};
use super::store::ServerRow;

/// Makes the connector of what is in use; `like` is the one before, whose way of authenticating it keeps.
#[must_use]
pub fn connector(name: &str, server: &ServerRow, known: &[Known], like: &v1::Connector) -> v1::Connector {
    let used = |kind: Kind| known.iter().filter(move |row| row.kind == kind && row.state() == State::InUse);
    // What is off stays among them: a node is told so beside, as of tools.
    let listed = |kind: Kind| -> Vec<v1::McpDefinition> {
        used(kind)
            .map(|row| v1::McpDefinition { name: row.name.clone(), definition_json: row.json().to_owned() })
            .collect()
    };
    let said =
        used(Kind::Instructions).find(|row| !row.off).map(|row| text(&members(row.json()), "instructions"));
    let called = [&server.title, &server.name].into_iter().find(|text| !text.is_empty());
    v1::Connector {
        name: name.to_owned(),
        title: called.map_or_else(|| name.to_owned(), Clone::clone),
        description: "An MCP server.".to_owned(),
        version: server.version.clone(),
        auth: like.auth.clone(),
        default_headers: like.default_headers.clone(),
        tools: used(Kind::Tool).map(tool).collect(),
        server: Some(v1::McpServer {
            transport: server.transport().into(),
            revision: server.revision.clone(),
            capabilities_json: server.capabilities.clone(),
            prompts: listed(Kind::Prompt),
            resources: listed(Kind::Resource),
            resource_templates: listed(Kind::Template),
            instructions: said.unwrap_or_default(),
        }),
        ..v1::Connector::default()
    }
}

fn tool(row: &Known) -> v1::Tool {
    let definition = members(row.json());
    let schema = |name: &str| definition.get(name).map(Json::to_string).unwrap_or_default();
    v1::Tool {
        name: row.name.clone(),
        title: title(&definition),
        description: text(&definition, "description"),
        access: row.class(),
        input_schema_json: schema("inputSchema"),
        output_schema_json: schema("outputSchema"),
        call: Some(v1::tool::Call::Upstream(v1::UpstreamCall { definition_json: row.json().to_owned() })),
        ..v1::Tool::default()
    }
}
