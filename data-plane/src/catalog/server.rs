//! Another MCP server behind a connector: what it offers beside tools, as the control plane found it.

use serde_json::{Map, Value};
use toolmesh_proto::v1;
use toolmesh_proto::v1::mcp_server::Transport;

use crate::members::Members;

/// An MCP server, as an admin approved it.
#[derive(Debug)]
pub struct Server {
    /// Whether it speaks HTTP+SSE of revision 2024-11-05.
    pub old_transport: bool,
    /// The newest revision that it speaks.
    pub revision: String,
    pub capabilities: Map<String, Value>,
    pub prompts: Vec<Definition>,
    pub resources: Vec<Definition>,
    pub templates: Vec<Definition>,
    /// What it says about itself to models.
    pub instructions: String,
}

/// A prompt, a resource or a template.
#[derive(Debug)]
pub struct Definition {
    /// Its name, its URI or its template.
    pub name: String,
    /// As the server sent it.
    pub members: Members,
}

impl Server {
    /// Reads what was sent; a definition that cannot be read is left out, since it is one of many.
    #[must_use]
    pub fn compile(server: &v1::McpServer) -> Self {
        Self {
            old_transport: server.transport() == Transport::HttpSse,
            revision: server.revision.clone(),
            capabilities: serde_json::from_str(&server.capabilities_json).unwrap_or_default(),
            prompts: definitions(&server.prompts),
            resources: definitions(&server.resources),
            templates: definitions(&server.resource_templates),
            instructions: server.instructions.trim().to_owned(),
        }
    }

    /// Whether it said that it can do this.
    #[must_use]
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.get(capability).is_some_and(Value::is_object)
    }

    /// Whether it said that it tells of this: a member of one of its capabilities, such as `listChanged` of `prompts`.
    #[must_use]
    pub fn tells(&self, capability: &str, member: &str) -> bool {
        self.capabilities.get(capability).and_then(|one| one.get(member)) == Some(&Value::Bool(true))
    }

    #[must_use]
    pub fn has_prompts(&self) -> bool {
        self.can("prompts") || !self.prompts.is_empty()
    }

    #[must_use]
    pub fn has_resources(&self) -> bool {
        self.can("resources") || !self.resources.is_empty() || !self.templates.is_empty()
    }
}

fn definitions(sent: &[v1::McpDefinition]) -> Vec<Definition> {
    let read = |one: &v1::McpDefinition| {
        let members = Members::read(&one.definition_json)?;
        Some(Definition { name: one.name.clone(), members })
    };
    sent.iter().filter_map(read).collect()
}
