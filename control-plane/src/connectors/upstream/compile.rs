//! From what was approved of a server to the connector that nodes get. Pure.

use serde_json::Value as Json;
use toolmesh_proto::mcp_headers::drop_bad;
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
    let mut definition = members(row.json());
    // With an annotation that cannot be followed, clients would leave the whole tool out.
    let definition_json = match definition.get_mut("inputSchema").and_then(drop_bad) {
        None => row.json().to_owned(),
        Some(_) => Json::Object(definition.clone()).to_string(),
    };
    let schema = |name: &str| definition.get(name).map(Json::to_string).unwrap_or_default();
    v1::Tool {
        name: row.name.clone(),
        title: title(&definition),
        description: text(&definition, "description"),
        access: row.class(),
        input_schema_json: schema("inputSchema"),
        output_schema_json: schema("outputSchema"),
        call: Some(v1::tool::Call::Upstream(v1::UpstreamCall { definition_json })),
        ..v1::Tool::default()
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::super::definitions::Definition;
    use super::*;

    fn compiled(definition: &str) -> (String, String) {
        let found = Definition::read(Kind::Tool, definition).unwrap();
        let mut row = Known::new(&found, 0, OffsetDateTime::now_utc());
        row.approved.clone_from(&row.found);
        let like = v1::Connector::default();
        let mut made = connector("orders", &ServerRow::default(), &[row], &like);
        let tool = made.tools.remove(0);
        match tool.call {
            Some(v1::tool::Call::Upstream(call)) => (call.definition_json, tool.input_schema_json),
            _ => (String::new(), tool.input_schema_json),
        }
    }

    #[test]
    fn a_definition_goes_on_as_it_was_sent_but_for_headers_that_nobody_can_send() {
        let sent = r#"{ "name":"find", "x-vendor": 1.50, "inputSchema":{"type":"object","properties":{"q":{"x-mcp-header":"Q","type":"string"}}}}"#;
        assert_eq!(compiled(sent).0, sent);
        let (definition, schema) = compiled(&sent.replace("\"Q\"", "\"Two words\""));
        assert_eq!(schema, r#"{"type":"object","properties":{"q":{"type":"string"}}}"#);
        assert!(definition.contains(&schema) && definition.contains("x-vendor"), "{definition}");
    }
}
